"""The embedded store: one SQLite file with vectors and postings, searched exactly by NumPy.

Vectors are float32 rows in memory, read once and then kept up to date by a log of changes. Words lie in segments, one
for each `put`: in blocks of some hundred words, with the ids of the entries that hold each and how often. A query
reads the blocks of its own words only, so its BM25 is exact and costs a few milliseconds, however many entries there
are; SQLite's own full-text index must rank every entry that holds any of the words. Small segments are merged as they
become many.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.errors import DataError
from luthier.retrieve.bm25 import K1, B
from luthier.retrieve.catalogue import connect, writing
from luthier.retrieve.matrix import Matrix
from luthier.retrieve.max_score import Word, best_by_words
from luthier.retrieve.ports import Entry, Vector
from luthier.retrieve.postings import (
    HASH_BITS,
    Block,
    Ints,
    Postings,
    bits_for,
    cut,
    found,
    hash_of,
    join,
    many_of_a_size,
    place_of,
    ranges,
    turn,
    uncut,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS vector (id INTEGER PRIMARY KEY, vector BLOB);
CREATE TABLE IF NOT EXISTS length (id INTEGER PRIMARY KEY, words INTEGER NOT NULL, segment INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segment (
  number INTEGER PRIMARY KEY AUTOINCREMENT, entries INTEGER NOT NULL, bits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS posting (
  place INTEGER PRIMARY KEY, words TEXT NOT NULL, held BLOB NOT NULL, ids BLOB NOT NULL, counts BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL);
"""
MORE_BITS = 2
"""A segment made of many has four times their blocks: it has more words, and more entries for each."""
LOG_ROWS = 100_000
"""Changes kept for readers that are behind; one that is further behind reads everything anew."""
AT_ONCE = 500


class SqliteStore:
    """One collection in one file."""

    is_exact = True

    def __init__(self, path: Path, width: int) -> None:
        self._width = width
        self._connection = connect(path)
        self._connection.executescript(SCHEMA)
        self._lock = threading.RLock()
        self._seen = -1
        self._matrix = Matrix(width)
        self._lengths: npt.NDArray[np.float64] = np.zeros(0)
        """Words by id; -1 where there is no such entry."""
        self._norm: npt.NDArray[np.float64] | None = None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries; those of a known id are replaced."""
        ordered = sorted(entries, key=lambda entry: entry.id)
        said = [entry.tokens for entry in ordered]
        ids, vectors = [entry.id for entry in ordered], [entry.vector for entry in ordered]
        self.put_turned(ids, vectors, list(map(len, said)), turn(said))

    def put_turned(
        self, ids: Sequence[int], vectors: Sequence[Vector | None], lengths: Sequence[int], postings: Postings
    ) -> None:
        """Keep entries of rising ids; `postings` calls them by their places."""
        if not ids:
            return
        for vector in vectors:
            self._check(vector)
        with self._lock, writing(self._connection):
            self._replace(ids)
            named = replace(postings, entries=np.asarray(ids, np.int32)[postings.entries])
            number = self._write([named], bits_for(len(named.words)), len(ids))
            run = self._connection.executemany
            pairs = zip(ids, vectors, strict=True)
            run("INSERT INTO vector VALUES (?, ?)", [(one, its.tobytes()) for one, its in pairs if its is not None])
            run("INSERT INTO length VALUES (?, ?, ?)", zip(ids, lengths, repeat(number)))
            self._log(ids)
            sizes = self._connection.execute("SELECT number, entries FROM segment").fetchall()
            for numbers in many_of_a_size(sizes):
                self._join(numbers)

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries; their postings stay until their segment is merged, and are passed over."""
        if not ids:
            return
        with self._lock, writing(self._connection):
            self._forget(ids)
            self._log(ids)

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries, exactly."""
        self._check(vector)
        with self._reading():
            return self._matrix.nearest(vector, count, only)

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give the best entries by BM25, exactly, for these weights."""
        with self._reading():
            segments = self._segments()
            words = [Word(weight, self._holding(word, segments)) for word, weight in weights.items()]
            return best_by_words(words, self._norm_of_each(), count)

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        with self._lock:
            rows = self._rows("SELECT id, vector FROM vector WHERE id IN ({marks})", ids)
            return {number: np.frombuffer(data, np.float32) for number, data in rows}

    def ids(self) -> Iterator[int]:
        """Give every id it holds."""
        with self._lock:
            yield from [number for (number,) in self._connection.execute("SELECT id FROM length ORDER BY id")]

    def drop(self) -> None:
        """Nothing is left to do: its file goes with its generation's folder."""

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _check(self, vector: Vector | None) -> None:
        if vector is not None and vector.shape != (self._width,):
            raise DataError(
                f"a vector has {vector.shape[-1]} numbers, the store keeps {self._width}",
                where="the knowledge base's embedder",
                mend="use the embedder it was made with, or make it anew with this one (luthier index embedder=...)",
            )

    def _norm_of_each(self) -> npt.NDArray[np.float64]:
        """Give what BM25 adds below the line, by id; infinite, so that nothing counts, where there is no such entry."""
        if self._norm is None:
            present = self._lengths >= 0
            mean = max(1.0, float(self._lengths[present].sum())) / max(1, int(present.sum()))
            self._norm = np.where(present, K1 * (1 - B + B * self._lengths / mean), np.inf)
        return self._norm

    def _holding(self, word: str, segments: Sequence[tuple[int, int]]) -> list[tuple[Ints, npt.NDArray[np.uint16]]]:
        """Give who holds a word, segment by segment; not those deleted behind the last one that is here."""
        hashed = hash_of(word)
        places = [(place_of(number, bits, hashed),) for number, bits in segments]
        rows = [self._connection.execute("SELECT * FROM posting WHERE place = ?", place).fetchone() for place in places]
        pairs = [pair for row in rows if row and (pair := found(Block(*row), word))]
        end = len(self._lengths)
        return [(ids[:here], counts[:here]) for ids, counts in pairs if (here := int(np.searchsorted(ids, end)))]

    def _segments(self) -> list[tuple[int, int]]:
        return self._connection.execute("SELECT number, bits FROM segment ORDER BY number").fetchall()

    def _write(self, parts: Iterable[Postings], bits: int, entries: int) -> int:
        insert = "INSERT INTO segment (entries, bits) VALUES (?, ?)"
        number = int(self._connection.execute(insert, (entries, bits)).lastrowid or 0)
        for part in parts:
            blocks = ((one.place, one.words, one.held, one.entries, one.counts) for one in cut(part, number, bits))
            self._connection.executemany("INSERT INTO posting VALUES (?, ?, ?, ?, ?)", blocks)
        return number

    def _join(self, numbers: Sequence[int]) -> None:
        """Make one segment of several; what was deleted goes."""
        marks = ",".join("?" * len(numbers))
        rows = self._connection.execute(f"SELECT id FROM length WHERE segment IN ({marks})", numbers).fetchall()
        alive = np.asarray(rows, np.int64).reshape(-1)
        is_alive = np.zeros(int(alive.max(initial=0)) + 1, np.bool_)
        is_alive[alive] = True
        batches = [(number, bits) for number, bits in self._segments() if number in set(numbers)]

        def keep(ids: Ints) -> npt.NDArray[np.bool_]:
            return is_alive[np.minimum(ids, len(is_alive) - 1)] & (ids < len(is_alive))

        (entries,) = self._connection.execute(
            f"SELECT sum(entries) FROM segment WHERE number IN ({marks})", numbers
        ).fetchone()
        stretches = ranges(batches, entries)
        joined = (join([self._read(within) for within in stretch], keep) for stretch in stretches)
        bits = max(bits for _, bits in batches) + (MORE_BITS if len(numbers) > 1 else 0)
        target = self._write(joined, bits, len(alive))
        for number in numbers:
            within = (number << HASH_BITS, (number + 1) << HASH_BITS)
            self._connection.execute("DELETE FROM posting WHERE place >= ? AND place < ?", within)
        self._connection.execute(f"DELETE FROM segment WHERE number IN ({marks})", numbers)
        self._connection.execute(f"UPDATE length SET segment = ? WHERE segment IN ({marks})", (target, *numbers))

    def _read(self, within: tuple[int, int]) -> Postings:
        rows = self._connection.execute("SELECT * FROM posting WHERE place >= ? AND place < ? ORDER BY place", within)
        return uncut([Block(*row) for row in rows])

    def _forget(self, ids: Sequence[int]) -> None:
        rows = [(number,) for number in ids]
        self._connection.executemany("DELETE FROM vector WHERE id = ?", rows)
        self._connection.executemany("DELETE FROM length WHERE id = ?", rows)

    def _replace(self, ids: Sequence[int]) -> None:
        """Forget entries of which new ones come, their postings too."""
        segments = {segment for (segment,) in self._rows("SELECT segment FROM length WHERE id IN ({marks})", ids)}
        if segments:
            self._forget(ids)
            for segment in segments:
                self._join([segment])

    def _log(self, ids: Sequence[int]) -> None:
        self._connection.executemany("INSERT INTO change (id) VALUES (?)", [(number,) for number in ids])
        self._connection.execute("DELETE FROM change WHERE number <= (SELECT max(number) FROM change) - ?", (LOG_ROWS,))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """See one state of the file, in memory and on disk."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                self._refresh()
                yield
            finally:
                self._connection.execute("COMMIT")

    def _refresh(self) -> None:
        first, last = self._connection.execute(
            "SELECT coalesce((SELECT min(number) FROM change), 0), coalesce((SELECT max(number) FROM change), 0)"
        ).fetchone()
        if last == self._seen:
            return
        self._norm = None
        if self._seen < first - 1:
            self._load()
        else:
            rows = self._connection.execute("SELECT DISTINCT id FROM change WHERE number > ?", (self._seen,))
            self._update([number for (number,) in rows])
        self._seen = last

    def _load(self) -> None:
        (count,) = self._connection.execute("SELECT count(*) FROM vector").fetchone()
        self._matrix = Matrix(self._width, count)
        cursor = self._connection.execute("SELECT id, vector FROM vector ORDER BY id")
        while part := cursor.fetchmany(AT_ONCE):
            data = np.frombuffer(b"".join(vector for _, vector in part), np.float32)
            self._matrix.add([number for number, _ in part], data.reshape(len(part), self._width))
        (highest,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM length").fetchone()
        self._lengths = np.full(highest + 1, -1.0)
        pairs = np.asarray(self._connection.execute("SELECT id, words FROM length").fetchall(), np.int64).reshape(-1, 2)
        self._lengths[pairs[:, 0]] = pairs[:, 1]

    def _update(self, ids: Sequence[int]) -> None:
        """Bring these entries, which were put or deleted, up to date in memory."""
        lengths = dict(self._rows("SELECT id, words FROM length WHERE id IN ({marks})", ids))
        vectors = self.vectors(ids)
        highest = max(ids)
        if highest >= len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.full(highest + 1 - len(self._lengths), -1.0)])
        for number in ids:
            self._lengths[number] = lengths.get(number, -1)
        new = [number for number in ids if number in vectors]
        self._matrix.remove(ids)
        if new:
            self._matrix.add(new, np.stack([vectors[number] for number in new]))

    def _rows(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        for begin in range(0, len(values), AT_ONCE):
            part = values[begin : begin + AT_ONCE]
            yield from self._connection.execute(statement.format(marks=",".join("?" * len(part))), part).fetchall()
