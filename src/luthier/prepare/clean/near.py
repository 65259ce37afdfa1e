"""Near duplicates: MinHash signatures of rows, and which rows stay.

Two rows are as alike as the sets of their runs of three words (Jaccard); the share of equal slots of two signatures
estimates it, give or take 0.04. Sources: Broder 1997 (resemblance); Dahlgaard, Knudsen, Thorup 2017, arXiv:1704.04370
(the sketch, by `rensa`); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4 (bands); Li, König 2010,
arXiv:0910.3349 (candidates are compared by 8 bits a slot).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from luthier.artifact.example import Example
from luthier.measure.words import words
from luthier.prepare.clean import needs, places

SLOTS = 128
_SEED = 1
_RUN = 3
"""Words in a row. One size for every length: with two, a text near the border would be like none of its neighbours."""
_EDGE = np.uint64(0x9E3779B97F4A7C15)
"""Stands before the first and after the last word, so that a text of one word has runs too."""
_NO_WORDS = np.uint32(0xFFFFFFFF)
_ROWS_AT_ONCE = 1 << 15
_KEYS_AT_ONCE = 8
"""Bands whose keys are held at once: 4 bytes a row each."""
_MISSED = 0.01
"""How often a pair just at the threshold may share no band."""
_ROUNDS = 24
"""How often the rows of one bucket that are not alike are held against another of it."""

Signatures = NDArray[np.uint32]


def text_of(example: Example) -> str:
    """Give the text by which a row is like another: all its texts but the system prompt, which sets have in common."""
    return "\n".join(place.text for place in places.without_system(example))


def signatures(texts: Sequence[str]) -> Signatures:
    """Give the MinHash signature of each text, shape (texts, 128); one without words is all ones in each bit.

    Raises ToolError if `rensa` is not installed.
    """
    sketch = needs.load("rensa", "clean.near_duplicates").RMinHash
    found = [words(text) for text in texts]
    counts = np.fromiter((len(one) for one in found), np.int64, len(found))
    hashes = np.array(sketch.hash_token_sets([list(chain.from_iterable(found))])[0], np.uint64)
    runs, ends = _runs(hashes, counts)
    rows = sketch.digest_matrix_from_flat_token_hashes(runs, ends, SLOTS, _SEED).to_rows()
    made = np.array(rows, np.uint32).reshape(len(texts), SLOTS)
    made[counts == 0] = _NO_WORDS
    return made


def _runs(hashes: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hash each run of three words, the edges included; give the hashes of all texts and where each text's begin."""
    lengths = counts + 2 * (counts > 0)
    ends = np.concatenate(([0], np.cumsum(lengths)))
    padded = np.full(int(ends[-1]) + 2, _EDGE, np.uint64)
    text = np.repeat(np.arange(len(counts)), counts)
    # The words of a text stand after its two edges; the next text's edges close it
    padded[np.arange(len(hashes)) + 2 * (np.cumsum(counts > 0)[text] if len(text) else text)] = _mixed(hashes)
    mixed = _mixed(_mixed(padded[:-2] * np.uint64(3)) + padded[1:-1])
    return _mixed(mixed + padded[2:]), ends.astype(np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the outcome hangs on every bit given."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def slots_a_band(threshold: float) -> int:
    """Give the most slots a band may have so that 99 in 100 pairs at the threshold share a band."""
    fitting = (r for r in range(SLOTS, 0, -1) if (1 - threshold**r) ** (SLOTS // r) <= _MISSED)
    return next(fitting, 1)


def leaders(signed: Signatures, order: NDArray[np.uint64], threshold: float) -> NDArray[np.int64]:
    """Give for each row, of those that are like it, directly or through others, the one with the lowest `order`.

    `signed` has shape (rows, 128) and may be a memory map: it is read from front to back, a piece at a time.
    `order` has shape (rows,), hashes of the rows' contents; the outcome does not hang on the rows' own order. Memory:
    about 270 bytes a row. A row without words is like no other.
    """
    ranked = np.argsort(order, kind="stable")
    rank = np.empty(len(ranked), np.uint32)
    rank[ranked] = np.arange(len(ranked), dtype=np.uint32)
    width = slots_a_band(threshold)
    bands = SLOTS // width
    sketches = np.empty((len(ranked), SLOTS), np.uint8)
    parents = np.arange(len(ranked), dtype=np.uint32)
    silent = np.zeros(len(ranked), np.bool_)
    for first in range(0, bands, _KEYS_AT_ONCE):
        asked = range(first, min(first + _KEYS_AT_ONCE, bands))
        keys = np.empty((len(asked), len(ranked)), np.uint32)
        for begin, piece in _pieces(signed):
            at = rank[begin : begin + len(piece)]
            if first == 0:
                sketches[at] = piece.astype(np.uint8)
                silent[at] = np.all(piece == _NO_WORDS, axis=1)
            for number, band in enumerate(asked):
                keys[number, at] = _band_keys(piece[:, band * width : (band + 1) * width])
        for band_keys in keys:
            _join_alike(band_keys, sketches, silent, parents, threshold)
    found: NDArray[np.int64] = ranked[parents[rank]]
    return found


def _pieces(signed: Signatures) -> Iterator[tuple[int, Signatures]]:
    """Read rows a piece at a time; a map's pages are given back with each piece, so they do not add up to the file."""
    for begin in range(0, len(signed), _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, len(signed) - begin)
        # A slice of a map has the whole map's offset: only the map itself can be read by it
        if isinstance(signed, np.memmap) and signed.filename is not None and not isinstance(signed.base, np.ndarray):
            with open(signed.filename, "rb") as file:
                file.seek(signed.offset + begin * SLOTS * 4)
                yield begin, np.fromfile(file, np.uint32, count * SLOTS).reshape(count, SLOTS)
        else:
            yield begin, signed[begin : begin + count]


def _band_keys(slots: Signatures) -> NDArray[np.uint32]:
    """Hash a band's slots, shape (rows, slots), to 32 bits a row: what falls together by chance is told apart later."""
    keys = np.full(len(slots), _EDGE, np.uint64)
    for column in range(slots.shape[1]):
        keys = _mixed(keys + slots[:, column])
    return (keys >> np.uint64(32)).astype(np.uint32)


def _join_alike(
    keys: NDArray[np.uint32],
    sketches: NDArray[np.uint8],
    silent: NDArray[np.bool_],
    parents: NDArray[np.uint32],
    threshold: float,
) -> None:
    """Join the rows (by rank) that share a key and are alike.

    Each row of a bucket is held against its first; those that are not like it are a bucket of their own, held against
    their first, and so on.
    """
    members = np.flatnonzero(~silent).astype(np.uint64)
    packed = np.sort((keys[members].astype(np.uint64) << np.uint64(32)) | members)
    for _ in range(_ROUNDS):
        bucket = packed >> np.uint64(32)
        starts = (
            np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
            if len(packed)
            else np.empty(0, np.int64)
        )
        sizes = np.diff(np.append(starts, len(packed)))
        many = sizes > 1
        if not many.any():
            return
        first = np.repeat(packed[starts[many]], sizes[many]).astype(np.uint32)
        packed = packed[np.repeat(many, sizes)]
        row = packed.astype(np.uint32)
        unlike = parents[row] != parents[first]
        edges = np.flatnonzero(unlike)
        alike = _are_alike(sketches, row[edges], first[edges], threshold)
        _union(parents, row[edges[alike]], first[edges[alike]])
        packed = packed[edges[~alike]]


def _are_alike(
    sketches: NDArray[np.uint8], one: NDArray[np.uint32], other: NDArray[np.uint32], threshold: float
) -> NDArray[np.bool_]:
    """Compare pairs by 8 bits a slot: what agrees by chance, 1 in 256, is taken off (Li, König 2010, theorem 1)."""
    least = SLOTS * (threshold + (1 - threshold) / 256)
    alike = np.empty(len(one), np.bool_)
    for begin in range(0, len(one), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        equal = np.count_nonzero(sketches[one[part]] == sketches[other[part]], axis=1)
        alike[part] = equal >= least
    return alike


def _union(parents: NDArray[np.uint32], one: NDArray[np.uint32], other: NDArray[np.uint32]) -> None:
    """Join the sets of each pair under their lowest rank; every row then points at its set's lowest."""
    while len(one):
        low, high = np.minimum(parents[one], parents[other]), np.maximum(parents[one], parents[other])
        apart = low != high
        one, other = one[apart], other[apart]
        np.minimum.at(parents, high[apart], low[apart])
        _point_at_roots(parents)


def _point_at_roots(parents: NDArray[np.uint32]) -> None:
    while True:
        further = parents[parents]
        if np.array_equal(further, parents):
            return
        parents[:] = further
