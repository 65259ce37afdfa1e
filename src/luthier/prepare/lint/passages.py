"""Passages of evaluation questions, as hashes: is one of them in a row?

A row is contaminated if `width` words in a row are the same as in an evaluation question (13: Brown et al. 2020,
arXiv:2005.14165, appendix C). Shorter questions are compared whole, with whole turns. Words are those of
`measure.words`: each Chinese character is one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from luthier.measure.words import words

Hashes = npt.NDArray[np.uint64]
FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Of the polynomial hash: an odd number with its bits well spread (2^64 divided by the golden ratio)."""


@dataclass(frozen=True)
class Passages:
    """Sorted hashes of passages, and for each the question it stands in. Picklable; some 12 bytes a word."""

    width: int
    hashes: Hashes
    owners: npt.NDArray[np.int32]
    """Hash -> index into `places`."""
    places: tuple[str, ...]
    """Where each question stands: `file:line`."""

    def found_in(self, texts: Iterable[str]) -> bool:
        """Whether a passage stands in one of the texts."""
        return any(self.owner_in(text) is not None for text in texts)

    def owner_in(self, text: str) -> str | None:
        """Give where the question stands of which a passage is in the text; the first one found."""
        if not len(self.hashes):
            return None
        found = passage_hashes(words(text), self.width)
        spots = np.searchsorted(self.hashes, found)
        spots[spots == len(self.hashes)] = 0
        hits = np.flatnonzero(self.hashes[spots] == found)
        return self.places[int(self.owners[spots[hits[0]]])] if len(hits) else None


def passages_of(questions: Iterable[tuple[str, str]], width: int) -> Passages:
    """Gather the passages of (place, question) pairs."""
    places: list[str] = []
    hashes: list[Hashes] = []
    for place, question in questions:
        hashes.append(passage_hashes(words(question), width))
        places.append(place)
    owners = np.repeat(np.arange(len(places), dtype=np.int32), [len(found) for found in hashes])
    joined = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    unique, first = np.unique(joined, return_index=True)
    return Passages(width, unique, owners[first], tuple(places))


def passage_hashes(found: Sequence[str], width: int) -> Hashes:
    """Hash every run of `width` words; fewer words are one passage, told apart from runs by its own number of words."""
    if not found:
        return np.zeros(0, np.uint64)
    coded = np.fromiter((crc32(word.encode()) + 1 for word in found), np.uint64, len(found))
    size = min(width, len(found))
    runs = np.lib.stride_tricks.sliding_window_view(coded * FACTOR, size) @ _powers(size)
    return runs ^ np.uint64(size) if size < width else runs


@cache
def _powers(size: int) -> Hashes:
    """Give FACTOR to the powers 1 to `size`, modulo 2^64."""
    return np.multiply.accumulate(np.full(size, FACTOR, np.uint64))
