"""Rows that stand in lists inside other objects (SQuAD: paragraphs, in them questions): found, and laid flat.

Each inner row has what stands around it, too: the context of a question, the title of its article. Where both have a
column, the inner one counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from luthier.prepare.batch import Row
from luthier.prepare.fault import Fault

OWN_LISTS = ("messages", "conversations", "chosen", "rejected", "prompt", "completion", "tools", "history", "functions")
"""Lists of objects that belong to one row."""
LIST = "_list"
"""The column that says in which list of its object a row stands."""
DEEPEST = 4
"""Lists within lists that are looked into."""

Nest = tuple[str, ...]
"""The names of the lists on the way to rows, from the outside."""


def find_nests(data: Mapping[str, Any], fits: Callable[[dict[str, Any]], bool], depth: int = DEEPEST) -> list[Nest]:
    """Give the way to each list whose first object, with what stands around it, `fits`."""
    found: list[Nest] = []
    around = _around(data)
    for column, value in data.items():
        if not _is_list_of_rows(column, value):
            continue
        inner = {**around, **value[0]}
        if fits(inner):
            found.append((column,))
        elif depth > 1:
            found += [(column, *rest) for rest in find_nests(inner, fits, depth - 1)]
    return found


def laid_flat(rows: Iterable[Row | Fault], nests: Sequence[Nest]) -> Iterator[Row | Fault]:
    """Give the inner rows of each row, all at its place. A row without the lists is a Fault."""
    for row in rows:
        if isinstance(row, Fault):
            yield row
        elif not any(nest[0] in row.data for nest in nests):
            names = " and ".join(repr(nest[0]) for nest in nests)
            yield Fault("not of the form", f"there is no list {names}", row.place, "write it as the first row is")
        else:
            for nest in nests:
                inner = _inside(row.data, nest, row.place)
                yield from named(inner, ".".join(nest)) if len(nests) > 1 else inner


def named(rows: Iterable[Row | Fault], name: str) -> Iterator[Row | Fault]:
    """Put the name of their list into rows, before a name that they have already."""
    for row in rows:
        if isinstance(row, Row):
            inner = row.data.get(LIST)
            yield Row(row.place, {**row.data, LIST: f"{inner}.{name}" if isinstance(inner, str) else name}, row.closed)
        else:
            yield row


def _inside(data: Mapping[str, Any], nest: Nest, place: str) -> Iterator[Row | Fault]:
    if not nest:
        yield Row(place, dict(data))
        return
    column, *rest = nest
    value = data.get(column)
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        yield Fault("not of the form", f"{column} is {value!r:.60}, not a list of objects", place, "write it as one")
        return
    around = _around(data)
    for one in value:
        yield from _inside({**around, **one}, tuple(rest), place)


def _around(data: Mapping[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in data.items() if not _is_list_of_rows(column, value)}


def _is_list_of_rows(column: str, value: Any) -> bool:
    is_list = column not in OWN_LISTS and isinstance(value, list) and bool(value)
    return is_list and all(isinstance(one, dict) for one in value)
