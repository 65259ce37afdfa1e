"""How many chunks hold each word, in the catalogue: what each batch adds or takes away, in blocks as postings are."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from luthier.retrieve.postings import (
    HASH_BITS,
    Ints,
    Postings,
    bits_for,
    by_hash,
    cut,
    hash_of,
    many_of_a_size,
    place_in,
    place_of,
    ranges,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS tally_batch (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, words INTEGER NOT NULL, bits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tally (place INTEGER PRIMARY KEY, words TEXT NOT NULL, held BLOB NOT NULL);
"""
NO_ENTRIES, NO_COUNTS = np.zeros(0, np.int32), np.zeros(0, np.uint16)
WITHIN = "SELECT words, held FROM tally WHERE place >= ? AND place < ? ORDER BY place"


class Tally:
    """Counts of words, for each kind of pieces. Every call must be inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany

    def add(self, kind: str, postings: Postings, sign: int) -> None:
        """Count the entries that hold each word in, or out (-1)."""
        counts = replace(postings, held=sign * postings.held, entries=NO_ENTRIES, counts=NO_COUNTS)
        self._write(kind, [counts], bits_for(len(postings.words)))
        sizes = self._run("SELECT number, words FROM tally_batch WHERE kind = ?", (kind,)).fetchall()
        for numbers in many_of_a_size(sizes):
            self._join(kind, numbers)

    def find(self, kind: str, asked: Sequence[str]) -> dict[str, int]:
        """Give word -> chunks, of the words asked for that some chunk holds."""
        found: Counter[str] = Counter()
        hashes = {word: hash_of(word) for word in asked}
        for number, bits in self._batches(kind):
            for word, hashed in hashes.items():
                row = self._run("SELECT words, held FROM tally WHERE place = ?", (place_of(number, bits, hashed),))
                words, held = row.fetchone() or ("", b"")
                place = place_in(words, word)
                if place >= 0:
                    found[word] += int(np.frombuffer(held, np.int32)[place])
        return {word: chunks for word, chunks in found.items() if chunks}

    def all(self, kind: str) -> dict[str, int]:
        """Give word -> chunks, of all words."""
        found: Counter[str] = Counter()
        for number, _ in self._batches(kind):
            for words, held in self._run(WITHIN, (number << HASH_BITS, (number + 1) << HASH_BITS)):
                for word, chunks in zip(words.split(" "), np.frombuffer(held, np.int32).tolist(), strict=True):
                    found[word] += chunks
        return {word: chunks for word, chunks in found.items() if chunks}

    def replace(self, kind: str, counts: Mapping[str, int]) -> None:
        """Forget what was counted, and keep this."""
        self._forget([number for number, _ in self._batches(kind)])
        held = np.fromiter(counts.values(), np.int32, len(counts))
        self._write(kind, [_counted(list(counts), held)], bits_for(len(counts)))

    def _batches(self, kind: str) -> list[tuple[int, int]]:
        return self._run("SELECT number, bits FROM tally_batch WHERE kind = ? ORDER BY number", (kind,)).fetchall()

    def _join(self, kind: str, numbers: Sequence[int]) -> None:
        """Make one batch of several; words whose counts come to nothing go."""
        batches = [(number, bits) for number, bits in self._batches(kind) if number in set(numbers)]
        marks = ",".join("?" * len(numbers))
        (words,) = self._run(f"SELECT sum(words) FROM tally_batch WHERE number IN ({marks})", numbers).fetchone()
        common = min(bits for _, bits in batches)
        self._write(kind, map(self._together, ranges(batches, words)), max(common, bits_for(words // 2)))
        self._forget(numbers)

    def _together(self, stretch: Sequence[tuple[int, int]]) -> Postings:
        rows = [row for within in stretch for row in self._run(WITHIN, within)]
        words = list(chain.from_iterable(words.split(" ") for words, _ in rows))
        places = {word: place for place, word in enumerate(dict.fromkeys(words))}
        held = np.zeros(len(places), np.int32)
        np.add.at(held, [places[word] for word in words], np.frombuffer(b"".join(held for _, held in rows), np.int32))
        left = np.flatnonzero(held)
        different = list(places)
        return _counted([different[place] for place in left.tolist()], held[left])

    def _write(self, kind: str, parts: Iterable[Postings], bits: int) -> None:
        insert = "INSERT INTO tally_batch (kind, words, bits) VALUES (?, 0, ?)"
        number = int(self._run(insert, (kind, bits)).lastrowid or 0)
        count = 0
        for part in parts:
            count += len(part.words)
            blocks = ((block.place, block.words, block.held) for block in cut(part, number, bits))
            self._run_many("INSERT INTO tally VALUES (?, ?, ?)", blocks)
        self._run("UPDATE tally_batch SET words = ? WHERE number = ?", (count, number))

    def _forget(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            within = (number << HASH_BITS, (number + 1) << HASH_BITS)
            self._run("DELETE FROM tally WHERE place >= ? AND place < ?", within)
            self._run("DELETE FROM tally_batch WHERE number = ?", (number,))


def _counted(words: Sequence[str], held: Ints) -> Postings:
    """Give counts as postings that name no entries."""
    ordered, hashes, rank = by_hash(words)
    by_rank = np.empty(len(words), np.int32)
    by_rank[rank] = held
    return Postings(ordered, hashes, by_rank, NO_ENTRIES, NO_COUNTS)
