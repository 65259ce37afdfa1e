"""Weights of rows by content id, as `tune` writes them and as anyone may."""

import re
from collections.abc import Mapping
from pathlib import Path

from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare.fault import BadRow, Fault
from luthier.prepare.rows import read_rows
from luthier.prepare.source import find_sources
from luthier.prepare.values import weight_of

ID = re.compile(r"[0-9a-f]{16}")


def read_weights(path: str | Path) -> Mapping[str, float]:
    """Read rows of `id` and `weight` from a file of any format: content id -> weight, 0 or more.

    Raises DataError (file:line) for a row without the two, and for an id that comes twice with two weights.
    """
    weights: dict[str, float] = {}
    sources = find_sources([str(path)])
    for row in (row for source in sources for row in read_rows(source, "auto", hush)):
        if isinstance(row, Fault):
            raise DataError(row.what, where=row.where, mend=row.mend)
        id_, given = row.data.get("id"), row.data.get("weight")
        if not isinstance(id_, str) or not ID.fullmatch(id_):
            raise DataError(
                f"id is {id_!r:.60}, not 16 hex digits",
                where=row.place,
                mend="take the id from the examples that prepare made",
            )
        try:
            weight = weight_of(given, "weight")
        except BadRow as bad:
            raise DataError(bad.what, where=row.place, mend=bad.mend) from None
        if weight is None:
            raise DataError("the row has no weight", where=row.place, mend="write a number from 0 up")
        if weights.setdefault(id_, weight) != weight:
            raise DataError(
                f"{id_} has two weights, {weights[id_]:g} and {weight:g}", where=row.place, mend="leave one line out"
            )
    return weights
