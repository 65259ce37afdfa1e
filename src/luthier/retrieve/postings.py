"""Words turned around: for each word the entries that hold it, in blocks of some hundred words.

A word's block follows from a hash of the word, so nothing is sorted by words, a block is found without a search, and
the blocks of several batches are joined a few at a time. A batch, once it is written, is never changed: it is joined
with others of about its size, as soon as they are many, into one of the next size.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from zlib import crc32

import numpy as np
import numpy.typing as npt

from luthier.measure.coded import coded

Ints = npt.NDArray[np.int32]
WORDS_IN_A_BLOCK = 256
HASH_BITS = 32
OF_A_SIZE = 8
"""So many of about one size become one of the next size."""
OF_A_STRETCH = 2_048
"""Entries, or words where only they are counted, that make another stretch: joining one takes some 10 MB."""
MOST_COUNTED = 65_535
"""A word that stands more often in an entry counts as often as this."""


@dataclass(frozen=True)
class Postings:
    """Words by their hashes, rising; of each word the entries that hold it, rising."""

    words: Sequence[str]
    hashes: npt.NDArray[np.uint32]
    held: Ints
    """How many entries hold each word."""
    entries: Ints
    """Ids, or places in a batch, word after word."""
    counts: npt.NDArray[np.uint16]
    """How often the word stands in each of them."""


@dataclass(frozen=True)
class Block:
    """Some words and what is kept of them."""

    place: int
    """Where it is kept: its batch above, its hashes' first bits below."""
    words: str
    """With a blank between them."""
    held: bytes
    entries: bytes
    counts: bytes


def hash_of(word: str) -> int:
    """Give a word's hash, the same on every machine."""
    return crc32(word.encode("utf-8", "surrogatepass"))


def turn(said: Sequence[Sequence[str]]) -> Postings:
    """Turn the words of entries around; entries are called by their places."""
    its = coded(said)
    return turn_coded(its.words, [(its.codes, its.lengths)])[0]


def turn_coded(words: Sequence[str], parts: Sequence[tuple[npt.NDArray[np.int64], Sequence[int]]]) -> list[Postings]:
    """Turn the words of several kinds of entries around, which are told as places in `words`."""
    words, hashes, rank = by_hash(words)
    made = []
    for codes, lengths in parts:
        size = max(1, len(lengths))
        holder = np.repeat(np.arange(len(lengths)), lengths)
        # one number for each word in each entry: sorted, they stand word by word, and in it entry by entry
        pairs, times = np.unique(rank[codes] * size + holder, return_counts=True)
        word, entry = np.divmod(pairs, size)
        held = np.bincount(word, minlength=len(words)).astype(np.int32)
        left = np.flatnonzero(held)
        here = [words[place] for place in left.tolist()]
        counts = np.minimum(times, MOST_COUNTED).astype(np.uint16)
        made.append(Postings(here, hashes[left], held[left], entry.astype(np.int32), counts))
    return made


def join(parts: Sequence[Postings], keep: Callable[[Ints], npt.NDArray[np.bool_]] | None = None) -> Postings:
    """Make one of several; of entries that are not kept nothing is left."""
    codes: defaultdict[str, int] = defaultdict(count().__next__)
    code = np.fromiter(map(codes.__getitem__, chain.from_iterable(part.words for part in parts)), np.int64)
    entries = np.concatenate([part.entries for part in parts])
    words, hashes, rank = by_hash(list(codes))
    # one number for each word in each entry, as above
    pairs = (np.repeat(rank[code], np.concatenate([part.held for part in parts])) << HASH_BITS) | entries
    order = np.argsort(pairs)
    if keep is not None:
        order = order[keep(entries[order])]
    held = np.bincount(pairs[order] >> HASH_BITS, minlength=len(words)).astype(np.int32)
    counts = np.concatenate([part.counts for part in parts])[order]
    left = np.flatnonzero(held)
    return Postings([words[place] for place in left], hashes[left], held[left], entries[order], counts)


def bits_for(words: int) -> int:
    """Give how many of a hash's first bits tell the blocks of so many words apart."""
    return (words // WORDS_IN_A_BLOCK).bit_length()


def place_of(batch: int, bits: int, hashed: int) -> int:
    """Give where a word's block is."""
    return (batch << HASH_BITS) | (hashed >> (HASH_BITS - bits))


def cut(postings: Postings, batch: int, bits: int) -> Iterator[Block]:
    """Cut postings into blocks."""
    if not len(postings.words):
        return
    bucket = postings.hashes.astype(np.int64) >> (HASH_BITS - bits)
    begins = np.flatnonzero(np.diff(bucket, prepend=-1))
    borders = [*begins.tolist(), len(postings.words)]
    ends = np.concatenate([[0], np.cumsum(postings.held)])[borders].tolist()
    held, entries, counts = postings.held.tobytes(), postings.entries.tobytes(), postings.counts.tobytes()
    for place, bits_of_it in enumerate(bucket[begins].tolist()):
        begin, end, first, last = borders[place], borders[place + 1], ends[place], ends[place + 1]
        yield Block(
            (batch << HASH_BITS) | bits_of_it,
            " ".join(postings.words[begin:end]),
            held[4 * begin : 4 * end],
            entries[4 * first : 4 * last],
            counts[2 * first : 2 * last],
        )


def uncut(blocks: Sequence[Block]) -> Postings:
    """Put blocks of one batch together again, which follow one another. Their words' hashes are not told."""
    words = [word for block in blocks for word in block.words.split(" ")]
    return Postings(
        words,
        np.zeros(0, np.uint32),
        np.frombuffer(b"".join(block.held for block in blocks), np.int32),
        np.frombuffer(b"".join(block.entries for block in blocks), np.int32),
        np.frombuffer(b"".join(block.counts for block in blocks), np.uint16),
    )


def found(block: Block, word: str) -> tuple[Ints, npt.NDArray[np.uint16]] | None:
    """Give the entries that hold a word, and how often, from its block."""
    place = place_in(block.words, word)
    if place < 0:
        return None
    held = np.frombuffer(block.held, np.int32)
    begin = int(held[:place].sum())
    end = begin + int(held[place])
    return (
        np.frombuffer(block.entries, np.int32)[begin:end],
        np.frombuffer(block.counts, np.uint16)[begin:end],
    )


def place_in(words: str, word: str) -> int:
    """Give how many words stand before one, in words with a blank between them; -1 where it is not among them."""
    begin = f" {words} ".find(f" {word} ")
    return words.count(" ", 0, begin) if begin >= 0 else -1


def ranges(batches: Sequence[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    """Give, for batches with their bits, the places that hold the same words in each: from the first to before the
    second, a list for each stretch of hashes. `size` of all together says how many stretches there are."""
    common = min((size // OF_A_STRETCH).bit_length(), *(bits for _, bits in batches))
    for stretch in range(1 << common):
        yield [
            ((batch << HASH_BITS) | stretch << (bits - common), (batch << HASH_BITS) | (stretch + 1) << (bits - common))
            for batch, bits in batches
        ]


def many_of_a_size(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Give the numbers of those (number, size) that are many of about one size."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for number, size in sizes:
        alike[(max(1, size).bit_length() - 1) // 3].append(number)
    yield from (numbers for numbers in alike.values() if len(numbers) >= OF_A_SIZE)


def by_hash(words: Sequence[str]) -> tuple[list[str], npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Give different words by their hashes, these, and which place each word has now."""
    encoded = map(str.encode, words, repeat("utf-8"), repeat("surrogatepass"))
    hashes = np.fromiter(map(crc32, encoded), np.uint32, len(words))
    order = np.argsort(hashes, kind="stable")
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words))
    return [words[place] for place in order.tolist()], hashes[order], rank
