"""Row filters: which raw rows are meant."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from luthier.prepare.spec import Scalar, Where

TRUTHS = {True: ("1", "true", "yes"), False: ("0", "false", "no")}
"""How a CSV writes a truth, in lower case."""


def matches(data: Mapping[str, Any], where: Where) -> bool:
    """Tell whether a row has, in every column named, the value wanted or one of them."""
    for column, wanted in where.items():
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        if not any(_same(data.get(column), choice) for choice in choices):
            return False
    return True


def _same(value: Any, wanted: Scalar) -> bool:
    """Compare across forms: a CSV knows text only, so `1` there equals the number 1, and nothing equals null."""
    if wanted is None:
        return value is None or value == ""
    if isinstance(value, str) and isinstance(wanted, bool):
        return value.strip().lower() in TRUTHS[wanted]
    if isinstance(value, str) and isinstance(wanted, int | float):
        try:
            return float(value) == wanted
        except ValueError:
            return False
    if isinstance(wanted, str) and isinstance(value, bool | int | float):
        return json.dumps(value) == wanted
    return bool(value == wanted)


def nearest_first(name: str, columns: Iterable[str]) -> list[str]:
    """Sort the columns there are by their likeness to the name asked for."""
    return sorted(columns, key=lambda column: -difflib.SequenceMatcher(None, name.lower(), column.lower()).ratio())


def known_columns(name: str, columns: Iterable[str]) -> str:
    """Say which columns there are, the nearest first, for an error's mend."""
    there = [repr(column) for column in nearest_first(name, columns)]
    return ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
