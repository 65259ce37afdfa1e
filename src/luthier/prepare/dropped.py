"""What was left out: how many rows for which reason, and the first few of each."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from luthier.prepare.fault import Fault

SHOWN = 3
"""Rows that are kept of each reason, for a person to look at."""


@dataclass
class Dropped:
    """Counts by reason, and of each reason the first few as (where, what)."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, reason: str, where: str, what: str) -> None:
        """Count one row."""
        self.counts[reason] += 1
        shown = self.first.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append((where, what))

    def fault(self, fault: Fault) -> None:
        """Count a row that cannot be used."""
        self.add(fault.reason, fault.where, fault.what)

    def rows(self, reason: str, count: int, places: Callable[[int], Iterable[str]]) -> None:
        """Count rows that were left out together; `places(n)` gives where the first n of them stand."""
        if not count:
            return
        self.counts[reason] += count
        shown = self.first.setdefault(reason, [])
        shown += [(place, reason) for place in places(SHOWN - len(shown))]

    def merge(self, later: "Dropped") -> None:
        """Add what was left out further on."""
        for reason, count in later.counts.items():
            self.counts[reason] += count
            shown = self.first.setdefault(reason, [])
            shown += later.first.get(reason, [])[: SHOWN - len(shown)]

    def figures(self) -> dict[str, int]:
        """Give the counts in the order of the reasons' names."""
        return dict(sorted(self.counts.items()))


def tally(counts: Mapping[str, int]) -> str:
    """Say counts in a sentence: `3 duplicate, 1 no answer`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none dropped"
