"""A finding: what a rule looks for, and what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from luthier.artifact.example import Example
from luthier.prepare.lint.evidence import Dropped, Evidence, Place, Rows

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
PLACES = 3
"""Rows shown of each finding."""


@dataclass(frozen=True)
class Hits:
    """What a rule found: so many of so many, and where."""

    count: int
    of: int
    places: tuple[Place, ...] = ()
    unit: str = "rows"
    note: str = ""
    """The figures, in a sentence."""
    is_settled: bool = False
    """Whether the settings already say what becomes of such rows: then it stops nothing."""


@dataclass(frozen=True)
class Rule:
    """A row of the table of findings."""

    severity: Severity
    title: str
    mend: str
    find: Callable[[Evidence], Hits | None]
    settled: Severity = "warning"
    """How severe it is where the settings already say what becomes of such rows."""
    needs: str = ""
    """What must be asked for before it is looked for; '' for nothing."""


@dataclass(frozen=True)
class Finding:
    """What one rule found in this data."""

    code: str
    severity: Severity
    title: str
    count: int
    of: int
    unit: str
    note: str
    places: tuple[Place, ...]
    mend: str

    @property
    def share(self) -> float:
        """How many of all, 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def plain(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            "count": self.count,
            "of": self.of,
            "unit": self.unit,
            "share": round(self.share, 6),
            "note": self.note,
            "examples": [{"where": place.where, "what": place.what} for place in self.places],
            "mend": self.mend,
        }


Say = Callable[[Evidence, int], str]
"""Says of a row what is wrong with it."""


def hits(
    evidence: Evidence, rows: Rows, of: int, say: Say | str, *, note: str = "", is_settled: bool = False
) -> Hits | None:
    """Make hits of rows; None if there are none."""
    if not len(rows):
        return None
    return Hits(len(rows), of, places(evidence, rows, say), note=note, is_settled=is_settled)


def places(evidence: Evidence, rows: Rows | Sequence[int], say: Say | str) -> tuple[Place, ...]:
    """Show the first few rows."""
    shown = np.asarray(rows)[:PLACES].tolist()
    return tuple(Place(evidence.place(row), say if isinstance(say, str) else say(evidence, row)) for row in shown)


def by_example(show: Callable[[Example], str]) -> Say:
    """Make what says of a row what can be read in it; '' where it is kept no more."""

    def say(evidence: Evidence, row: int) -> str:
        example = evidence.example(row)
        return "" if example is None else show(example)

    return say


def by_length(evidence: Evidence, row: int) -> str:
    """Say how long a row is."""
    fact = evidence.facts[row]
    return f"{int(fact['tokens']):,} tokens, {int(fact['characters']):,} characters"


def joined(dropped: Sequence[Dropped]) -> Dropped:
    """Take rows dropped for several reasons together, the first places of each."""
    shown = [place for each in dropped for place in each.places]
    return Dropped(sum(each.count for each in dropped), tuple(shown[:PLACES]))


def clip(text: str, most: int = 60) -> str:
    """Give the beginning of a text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
