"""What the labels of a classification are: classes, several classes a row, or numbers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from luthier.event import Chose
from luthier.prepare.fault import BadRow
from luthier.prepare.form_chat import Data, Names
from luthier.prepare.values import unpacked, wanted_text

KIND = "kind of label"
"""Not a column: what all labels of a file are."""
WHOLE = re.compile(r"\s*[-+]?\d+\s*")
WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+([eE][-+]?\d+)?\s*")
"""A number in a table that is meant to be one: a class is hardly called 3.5."""


class Looked:
    """What the labels seen so far say all are; nothing is settled while each is a whole number."""

    def __init__(self) -> None:
        self.first: Any = None
        self.whole, self.point, self.name = "", "", ""
        """The first of each sort, and where it stands."""
        self.elsewhere = ""
        """Another source, whose labels are numbers; it counts where those seen here are whole numbers alone."""

    def see(self, given: Any, place: str) -> None:
        """Look at a label; an empty one says nothing."""
        if given is None or given == "":
            return
        if self.first is None:
            self.first = given
        shown = f"{given!r:.60} at {place}"
        if isinstance(given, float) or (isinstance(given, str) and WITH_POINT.fullmatch(given)):
            self.point = self.point or shown
        elif (isinstance(given, int) and not isinstance(given, bool)) or (
            isinstance(given, str) and WHOLE.fullmatch(given)
        ):
            self.whole = self.whole or shown
        else:
            self.name = self.name or shown

    @property
    def is_open(self) -> bool:
        """Whether a label further on may still say that all are numbers."""
        return bool(self.whole) and not self.name and not self.point

    @property
    def kind(self) -> str:
        """What all are: a row of `LABEL_KINDS`. One that is a name makes classes of all numbers."""
        if isinstance(self.first, list):
            return "several classes"
        return "number" if (self.point or self.elsewhere) and not self.name else "class"

    def told(self, column: str) -> Chose:
        """Say it, and why."""
        why = f"the first {column} is {self.first!r:.60}"
        if self.elsewhere:
            why = f"{column} is a whole number in each row, and {self.elsewhere} has numbers with a point"
        elif self.kind == "number" and self.whole:
            why = f"{column} is {self.point}, and a number in each row"
        elif self.kind == "class" and self.name and not self.name.startswith(f"{self.first!r:.60} at "):
            why = f"{column} is {self.name}"
        elif self.is_open:
            why = f"{column} is a whole number in each row"
        return Chose("label", self.kind, why=why)


def look(rows: Iterable[tuple[Data, str]], names: Names, looked: Looked) -> Looked:
    """Look at the labels of rows (data, place)."""
    for data, place in rows:
        looked.see(label_in(data, names), place)
    return looked


def label_in(data: Data, names: Names) -> Any:
    """Give a row's label as the file has it."""
    given = data.get(names["label"])
    return unpacked(given) if isinstance(given, str) and given.lstrip().startswith("[") else given


def _class(given: Any, column: str) -> str:
    if isinstance(given, float) and not given.is_integer():
        raise BadRow(
            "label of another kind",
            f"{column} is {given!r}, a number, and others of the file are classes",
            f"make all of them numbers: map.{column}='{{{{ {column} | float }}}}', and the other columns with map too",
        )
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return str(int(given))
    if isinstance(given, list | dict):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a class", ONE_KIND)
    name = wanted_text(given, column).strip()
    if not name:
        raise BadRow("no label", f"{column} is empty", "fill it in")
    return name


def _classes(given: Any, column: str) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a list", ONE_KIND)
    return tuple(sorted({_class(one, column) for one in given if one is not None}))


def _number(given: Any, column: str) -> float:
    try:
        number = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or number != number or number in (float("inf"), float("-inf")):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a number", ONE_KIND)
    return number


ONE_KIND = "write all labels of a file in one way"
LABEL_KINDS: Mapping[str, Any] = {"class": _class, "several classes": _classes, "number": _number}
"""What a label is -> how it is read, into an `artifact.example.Label`."""
