"""Words of many texts as numbers: what `words(text, bigrams=True)` gives, told apart by arrays instead of one by one.

A CJK text has a word for each character and each pair. Making, hashing and comparing so many small strings is most of
what bringing it into a knowledge base would cost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, pairwise, repeat, zip_longest

import numpy as np
import numpy.typing as npt

from luthier.measure.words import beyond_ascii, is_cjk, runs

Codes = npt.NDArray[np.int64]
OTHER = "\0"
"""Stands for a word that is no CJK character; it is in no word."""
FIRST_OTHER = 0x110000
"""Above every character: other words are numbered from here on."""
LEFT_BITS = 32
"""A pair's first character stands above these bits."""


@dataclass(frozen=True)
class Coded:
    """What some texts say, each word as its place among the different ones."""

    words: Sequence[str]
    """In an order that follows from the texts alone."""
    codes: Codes
    """Text after text."""
    lengths: Sequence[int]
    """Words of each text."""


def coded(said: Sequence[Sequence[str]]) -> Coded:
    """Give words as numbers."""
    codes: defaultdict[str, int] = defaultdict(count().__next__)
    code = np.fromiter(map(codes.__getitem__, chain.from_iterable(said)), np.int64)
    return Coded(list(codes), code, list(map(len, said)))


def coded_texts(texts: Sequence[str], form: Callable[[str], str] = str) -> tuple[Coded, list[str]]:
    """Give the words of texts as numbers, and those of each text with a blank between them.

    `form` says what becomes of a word that is no CJK character.
    """
    line, others, ends = list[str](), list[str](), [0]
    for text in texts:
        found = runs(text)
        if not beyond_ascii(found):
            line += repeat(OTHER, len(found))
            others += map(form, found)
        else:
            line += [run if is_cjk(run) else OTHER for run in found]
            others += [form(run) for run in found if not is_cjk(run)]
        ends.append(len(line))
    if len(others) == len(line):
        said = [others[begin:end] for begin, end in pairwise(ends)]
        return coded(said), list(map(" ".join, said))
    borders = np.cumsum([0, *map(len, line)])
    characters = np.frombuffer("".join(line).encode("utf-32-le"), np.uint32)
    has_next = np.ones(len(characters), np.bool_)
    has_next[borders[1:] - 1] = False
    return (
        _coded(characters, has_next, others, borders[ends]),
        _written(characters, has_next, others, borders[ends].tolist()),
    )


def _coded(
    characters: npt.NDArray[np.uint32], has_next: npt.NDArray[np.bool_], others: Sequence[str], borders: Codes
) -> Coded:
    vocabulary: defaultdict[str, int] = defaultdict(count(FIRST_OTHER).__next__)
    points = characters.astype(np.int64)
    points[points == 0] = np.fromiter(map(vocabulary.__getitem__, others), np.int64, len(others))
    # after each character the pair it makes with the next one, where there is one
    both = np.stack([points, (points << LEFT_BITS) | np.roll(points, -1)], axis=1)
    said = both[np.stack([np.ones_like(has_next), has_next], axis=1)]
    different, code = np.unique(said, return_inverse=True)
    before = np.concatenate([[0], np.cumsum(1 + has_next)])
    return Coded(_spelled(different, list(vocabulary)), code, np.diff(before[borders]).tolist())


def _spelled(keys: Codes, names: Sequence[str]) -> list[str]:
    """Write different words out, all at once."""
    left, right = keys >> LEFT_BITS, keys & ((1 << LEFT_BITS) - 1)
    is_other = (left == 0) & (right >= FIRST_OTHER)
    always = np.ones_like(is_other)
    rows = np.stack([left, np.where(is_other, 0, right), np.full_like(left, ord(" "))], axis=1).astype(np.uint32)
    line: str = rows[np.stack([left > 0, always, always], axis=1)].tobytes().decode("utf-32-le")
    found = line.split(" ")[:-1]
    for place in np.flatnonzero(is_other).tolist():
        found[place] = names[int(right[place]) - FIRST_OTHER]
    return found


def _written(
    characters: npt.NDArray[np.uint32], has_next: npt.NDArray[np.bool_], others: Sequence[str], borders: Sequence[int]
) -> list[str]:
    blank = np.full_like(characters, ord(" "))
    always = np.ones_like(has_next)
    both = np.stack([characters, blank, characters, np.roll(characters, -1), blank], axis=1)
    line = both[np.stack([always, always, has_next, has_next, has_next], axis=1)].tobytes().decode("utf-32-le")
    ends = np.concatenate([[0], np.cumsum(2 + 3 * has_next)])[borders].tolist()
    left = iter(others)
    return [_filled(line[begin : max(begin, end - 1)], left) for begin, end in pairwise(ends)]


def _filled(line: str, others: Iterator[str]) -> str:
    """Put other words where they are stood for."""
    parts = line.split(OTHER)
    return "".join(chain.from_iterable(zip_longest(parts, islice(others, len(parts) - 1), fillvalue="")))
