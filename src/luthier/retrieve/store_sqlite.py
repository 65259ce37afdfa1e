"""The embedded store: one SQLite file with vectors and postings, searched exactly by NumPy.

Vectors are float32 rows in memory, read once and then kept up to date by a log of changes. Words lie in segments: for
each `put` one row for each word, with the ids of the entries that hold it and how often. A query reads the rows of its
own words only, so its BM25 is exact and costs a few milliseconds, however many entries there are; SQLite's own
full-text index must rank every entry that holds any of the words. Small segments are merged as they become many.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.errors import DataError
from luthier.retrieve.bm25 import K1, B
from luthier.retrieve.catalogue import connect, writing
from luthier.retrieve.matrix import Matrix, best
from luthier.retrieve.ports import Entry, Vector

SCHEMA = """
CREATE TABLE IF NOT EXISTS vector (id INTEGER PRIMARY KEY, vector BLOB);
CREATE TABLE IF NOT EXISTS length (id INTEGER PRIMARY KEY, words INTEGER NOT NULL, segment INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segment (number INTEGER PRIMARY KEY AUTOINCREMENT, entries INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS posting (word TEXT, segment INTEGER, ids BLOB NOT NULL, counts BLOB NOT NULL,
  PRIMARY KEY (word, segment)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL);
"""
SEGMENTS_OF_A_SIZE = 8
"""So many of about one size become one of the next size."""
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
        if not entries:
            return
        for entry in entries:
            self._check(entry.vector)
        with self._lock, writing(self._connection):
            self._replace([entry.id for entry in entries])
            number = self._insert_segment(entries)
            run = self._connection.executemany
            run(
                "INSERT INTO vector VALUES (?, ?)",
                [(entry.id, entry.vector.tobytes()) for entry in entries if entry.vector is not None],
            )
            run("INSERT INTO length VALUES (?, ?, ?)", [(entry.id, len(entry.tokens), number) for entry in entries])
            self._log([entry.id for entry in entries])
            self._merge()

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
            norm = self._norm_of_each()
            scores = np.zeros(len(norm))
            for word, ids, counts in self._postings(list(weights)):
                scores[ids] += weights[word] * (K1 + 1) * counts / (counts + norm[ids])
            found = np.flatnonzero(scores)
            return best(found, scores[found], count)

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

    def _postings(self, words: Sequence[str]) -> Iterator[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.float32]]]:
        for word, ids, counts in self._rows("SELECT word, ids, counts FROM posting WHERE word IN ({marks})", words):
            yield word, np.frombuffer(ids, np.int32), np.frombuffer(counts, np.uint16).astype(np.float32)

    def _insert_segment(self, entries: Sequence[Entry]) -> int:
        number = self._new_segment(len(entries))
        rows = ((word, number, ids, counts) for word, ids, counts in _postings_of(entries))
        self._connection.executemany("INSERT INTO posting VALUES (?, ?, ?, ?)", rows)
        return number

    def _new_segment(self, entries: int) -> int:
        return int(self._connection.execute("INSERT INTO segment (entries) VALUES (?)", (entries,)).lastrowid or 0)

    def _merge(self) -> None:
        """Make one segment of those of about one size, when they have become many; what was deleted goes."""
        sizes: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, entries in self._connection.execute("SELECT number, entries FROM segment"):
            sizes[(max(1, entries).bit_length() - 1) // 3].append((number, entries))
        for found in sizes.values():
            if len(found) >= SEGMENTS_OF_A_SIZE:
                self._join([number for number, _ in found])

    def _join(self, numbers: Sequence[int]) -> None:
        marks = ",".join("?" * len(numbers))
        alive = np.asarray(
            self._connection.execute(
                f"SELECT segment, id FROM length WHERE segment IN ({marks}) ORDER BY segment, id", numbers
            ).fetchall(),
            np.int32,
        ).reshape(-1, 2)[:, 1]
        (held,) = self._connection.execute(
            f"SELECT sum(entries) FROM segment WHERE number IN ({marks})", numbers
        ).fetchone()
        target = self._new_segment(len(alive))
        rows = self._connection.execute(
            f"SELECT word, ids, counts FROM posting WHERE segment IN ({marks}) ORDER BY word, segment", numbers
        )
        # nothing was deleted and ids rise from segment to segment: postings are laid end to end as they are
        is_plain = held == len(alive) and bool((np.diff(alive) > 0).all())
        join = _end_to_end if is_plain else _alive_only(alive)
        joined = [(word, target, *made) for word, parts in _by_word(rows) if (made := join(parts))[0]]
        self._connection.execute(f"DELETE FROM posting WHERE segment IN ({marks})", numbers)
        self._connection.executemany("INSERT INTO posting VALUES (?, ?, ?, ?)", joined)
        self._connection.execute(f"DELETE FROM segment WHERE number IN ({marks})", numbers)
        self._connection.execute(f"UPDATE length SET segment = ? WHERE segment IN ({marks})", (target, *numbers))

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
            "SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM change"
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


def _postings_of(entries: Sequence[Entry]) -> Iterator[tuple[str, bytes, bytes]]:
    """Give each word of entries with the ids that hold it, rising, and how often; in the words' order."""
    ordered = sorted(entries, key=lambda entry: entry.id)
    codes: defaultdict[str, int] = defaultdict(count().__next__)
    code = np.fromiter((codes[word] for entry in ordered for word in entry.tokens), np.int64)
    holder = np.repeat(np.arange(len(ordered)), [len(entry.tokens) for entry in ordered])
    # one number for each word in each entry: sorted, they stand word by word, and in it entry by entry
    pairs, times = np.unique(code * len(ordered) + holder, return_counts=True)
    ids = np.asarray([entry.id for entry in ordered], np.int32)[pairs % len(ordered)]
    counts = np.minimum(times, 65_535).astype(np.uint16)
    begins = np.searchsorted(pairs, np.arange(len(codes) + 1) * len(ordered))
    for word in sorted(codes):
        begin, end = begins[codes[word]], begins[codes[word] + 1]
        yield word, ids[begin:end].tobytes(), counts[begin:end].tobytes()


def _end_to_end(parts: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    return b"".join(ids for ids, _ in parts), b"".join(counts for _, counts in parts)


def _alive_only(alive: npt.NDArray[np.int32]) -> Callable[[Sequence[tuple[bytes, bytes]]], tuple[bytes, bytes]]:
    """Give what joins postings of these ids, in their order, and passes over all others."""
    is_alive = np.zeros(int(alive.max(initial=0)) + 1, np.bool_)
    is_alive[alive] = True

    def join(parts: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        ids = np.frombuffer(b"".join(ids for ids, _ in parts), np.int32)
        counts = np.frombuffer(b"".join(counts for _, counts in parts), np.uint16)
        kept = np.flatnonzero(is_alive[np.minimum(ids, len(is_alive) - 1)] & (ids < len(is_alive)))
        order = kept[np.argsort(ids[kept], kind="stable")]
        return ids[order].tobytes(), counts[order].tobytes()

    return join


def _by_word(rows: Iterator[Any]) -> Iterator[tuple[str, list[tuple[bytes, bytes]]]]:
    parts: list[tuple[bytes, bytes]] = []
    last: str | None = None
    for word, ids, counts in rows:
        if last is not None and word != last:
            yield last, parts
            parts = []
        last = word
        parts.append((ids, counts))
    if last is not None:
        yield last, parts
