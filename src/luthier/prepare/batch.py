"""Raw rows, and batches of them on their way to where they are parsed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.errors import DataError
from luthier.prepare.fault import Fault

MOST_CHARACTERS = 1 << 22
"""A batch ends early when its rows hold so many characters, however few they are: memory stays flat."""


@dataclass(frozen=True)
class Row:
    """A raw row. `place` is `file:line`; a `closed` row is of a table: it has every column the file has."""

    place: str
    data: dict[str, Any]
    closed: bool = False

    @property
    def line(self) -> int:
        """The line where it begins, from 1; in a table without lines, which row it is."""
        return int(self.place.rpartition(":")[2])

    @property
    def file(self) -> str:
        """The label of its source."""
        return self.place.rpartition(":")[0]


@dataclass(frozen=True)
class Batch:
    """Some rows of one source, cheap to make and to send to another process; `rows.parse` makes rows of it.

    `kind` says how `payload` is parsed; `first_line` and `offset` (bytes) say where it begins.
    """

    label: str
    kind: str
    payload: Any
    first_line: int = 1
    offset: int = 0
    columns: tuple[str, ...] = ()
    """Of a table in text: its header."""
    classes: tuple[str, ...] | None = None
    """Of lines of text: the class of each."""
    list_name: str = ""
    """Of a JSON object that holds the rows: the name of their list."""
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Of such an object: its other fields, as far as they go into the rows that have none of their own."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> the names of the classes that it holds as numbers."""

    def emptied(self) -> "Batch":
        """Give it without its rows: what is kept while they are parsed elsewhere."""
        return replace(self, payload=None, classes=None, beside={})


def grouped(values: Iterable[tuple[int, Any, int]], size: int) -> Iterator[list[tuple[int, Any]]]:
    """Group (line, value, characters) into lists of (line, value), `size` long or less.

    What was read before a DataError comes before it, so that the first fault of a file is the one that is told.
    """
    group: list[tuple[int, Any]] = []
    characters = 0
    try:
        for line, value, length in values:
            group.append((line, value))
            characters += length
            if len(group) >= size or characters >= MOST_CHARACTERS:
                yield group
                group, characters = [], 0
    except DataError:
        if group:
            yield group
        raise
    if group:
        yield group


def rows_of(value: Any, place: str) -> Iterator[Row | Fault]:
    """Make rows of a JSON value: one of an object or of a list of turns, one of each object in a list."""
    if isinstance(value, dict):
        yield Row(place, value)
    elif isinstance(value, list) and value and all(_is_turn(turn) for turn in value):
        yield Row(place, {"messages": value})
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        yield from (Row(place, one) for one in value)
    else:
        yield Fault("not an object", f"the row is {_short(value)}, not an object", place, 'write {"column": value}')


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys())


def _short(value: Any) -> str:
    text = f"a list of {len(value)}" if isinstance(value, list) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
