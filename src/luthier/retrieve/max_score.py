"""The best entries by BM25 without looking at every entry of frequent words, exactly.

Source: Turtle and Flood 1995, "Query evaluation: strategies and optimizations" (MaxScore), word at a time: words that
tell most come first; once what the others can add is less than what lies between an entry and the last of the wanted
ones, that entry is looked at no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt

from luthier.retrieve.bm25 import K1
from luthier.retrieve.matrix import best
from luthier.retrieve.postings import Ints

Floats = npt.NDArray[np.float64]
MANY = 20_000
"""Before a word that more entries hold, it is looked whether all of them are needed: that costs as much as these."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Word:
    """A word that is asked for."""

    weight: float
    held: Sequence[tuple[Ints, npt.NDArray[np.uint16]]]
    """Entries that hold it, rising, and how often; in several parts."""

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self.held)

    def most(self, least_norm: float) -> float:
        """Give what it adds to a score at most."""
        count = max((int(counts.max(initial=0)) for _, counts in self.held), default=0)
        return self.weight * (K1 + 1) * count / (count + least_norm)


def best_by_words(words: Sequence[Word], norm: Floats, count: int) -> list[tuple[int, float]]:
    """Give the (id, BM25 score) of the best entries; `norm` by id is what is added below the line."""
    if count < 1:
        return []
    scores = np.zeros(len(norm))
    least = float(norm.min(initial=np.inf))
    bounded = sorted(((word.most(least), word) for word in words), key=lambda pair: -pair[0])
    rest = sum(bound for bound, _ in bounded)
    left: npt.NDArray[np.intp] | None = None
    """Entries that may be among the best; None while any may."""
    for bound, word in bounded:
        if len(word) > MANY:
            left = _left(scores, left, rest, count)
        for ids, counts in word.held:
            _add(scores, word.weight, ids, counts, norm, left)
        rest -= bound
    scored = np.flatnonzero(scores) if left is None else left
    return best(scored, scores[scored], count)


def _left(scores: Floats, before: npt.NDArray[np.intp] | None, rest: float, count: int) -> npt.NDArray[np.intp] | None:
    """Give the entries that may still be among the best, if others may not."""
    among = np.flatnonzero(scores) if before is None else before
    if len(among) < count:
        return before
    reached = scores[among]
    edge = np.partition(reached, len(reached) - count)[len(reached) - count] - rest - ROUNDING
    return among[reached >= edge] if edge > 0 else before


def _add(
    scores: Floats,
    weight: float,
    ids: Ints,
    counts: npt.NDArray[np.uint16],
    norm: Floats,
    left: npt.NDArray[np.intp] | None,
) -> None:
    """Add what a word tells: of the entries that are left, where they are few, else of all that hold it."""
    if left is not None and len(left) * log2(len(ids) + 2) < len(ids):
        places = np.minimum(np.searchsorted(ids, left), len(ids) - 1)
        holding = places[ids[places] == left]
        ids, counts = ids[holding], counts[holding]
    times = counts.astype(np.float64)
    scores[ids] += weight * (K1 + 1) * times / (times + norm[ids])
