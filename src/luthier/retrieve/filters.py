"""Filters by metadata: which chunks may be found."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.errors import SpecError
from luthier.retrieve.catalogue import Catalogue

OWN = {"document": "document.label", "page": "chunk.page", "title": "document.title", "source": "document.source"}
"""Names that are no metadata of the user's, and where they stand."""
SIGNS = {"from": ">=", "to": "<=", "above": ">", "below": "<"}
NOT = "not"
AS = {"truth": "lower({})", "number": "as_number({})", "text": "CAST({} AS TEXT)"}
"""How a value of the user's metadata is read, by the sort of what is asked for."""
TRUTHS = {True: ["true", "1"], False: ["false", "0"]}


def allowed(catalogue: Catalogue, where: Mapping[str, Any]) -> list[int] | None:
    """Give the ids of the chunks for which all conditions hold, or None where there are none.

    A condition is a value, a list of which one must be met, or a mapping of `from`, `to`, `above`, `below`, `not`.
    Numbers are numbers however they were written: a table's columns are texts. What has no such value meets none.
    """
    if not where:
        return None
    catalogue.connection.create_function("as_number", 1, _as_number, deterministic=True)
    clauses, values = [], list[Any]()
    for name, wanted in where.items():
        clause, more = _clause(name, wanted)
        clauses.append(clause)
        values.extend(more)
    rows = catalogue.connection.execute(
        "SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document "
        f"WHERE chunk.kind = 'chunk' AND document.state = 'here' AND {' AND '.join(clauses)}",
        values,
    )
    return [number for (number,) in rows]


def _clause(name: str, wanted: Any) -> tuple[str, list[Any]]:
    if not isinstance(wanted, Mapping):
        return _among(name, _options(wanted))
    unknown = [sign for sign in wanted if sign not in (*SIGNS, NOT)]
    if unknown or not wanted:
        raise SpecError(
            f"a filter knows no {unknown[0] if unknown else 'empty condition'!r}",
            where=f"key where.{name}",
            mend=f"write one of {', '.join((*SIGNS, NOT))}, a value, or a list of values",
        )
    parts = [_compared(name, sign, value) for sign, value in wanted.items()]
    return " AND ".join(clause for clause, _ in parts), [value for _, more in parts for value in more]


def _compared(name: str, sign: str, wanted: Any) -> tuple[str, list[Any]]:
    if sign == NOT:
        place, path = _place(name)
        clause, values = _among(name, _options(wanted))
        return f"({place} IS NOT NULL AND {clause} IS NOT TRUE)", [*path, *values]
    if isinstance(wanted, bool):
        return _among(name, [wanted])
    sort = _sort(name, wanted)
    place, path = _place(name, sort)
    value = wanted if wanted is None or sort == "number" else str(wanted)
    return f"{place} {SIGNS[sign]} ?", [*path, value]


def _among(name: str, options: Sequence[Any]) -> tuple[str, list[Any]]:
    """Give the condition that a value is one of these: one look-up for each sort of them, however many there are."""
    sorts: dict[str, list[str]] = {}
    for one in options:
        if one is not None:
            sorts.setdefault(_sort(name, one), []).extend(TRUTHS[one] if isinstance(one, bool) else [str(one)])
    clauses, values = ["0"], list[Any]()
    for sort, said in sorts.items():
        place, path = _place(name, sort)
        value = AS[sort].format("value") if sort == "number" else "value"
        clauses.append(f"{place} IN (SELECT {value} FROM json_each(?))")
        values += [*path, json.dumps(said)]
    return f"({' OR '.join(clauses)})", values


def _options(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def _sort(name: str, wanted: Any) -> str:
    if isinstance(wanted, bool):
        return "truth"
    # a column of ours is of one sort, and SQLite reads what it is compared with as that
    return "number" if isinstance(wanted, int | float) and name not in OWN else "text"


def _place(name: str, sort: str = "") -> tuple[str, list[str]]:
    """Give where a value stands, and what that asks for; as one of this sort."""
    if name in OWN:
        return (AS[sort] if sort == "truth" else "{}").format(OWN[name]), []
    return AS.get(sort, "{}").format("json_extract(chunk.metadata, ?)"), [f'$."{name}"']


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
