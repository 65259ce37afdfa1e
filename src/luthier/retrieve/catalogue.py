"""The catalogue of a knowledge base: which documents and chunks there are, in one SQLite file.

The catalogue, not the store, says what exists: a chunk is found only while its document's state here is `here`. A
document comes in three steps, so that a kill leaves nothing half: its rows (`coming`), its entries in the store, the
flip to `here`, which turns the version before it to `gone` in the same transaction. What is not `here` is swept when
the next writer begins. WAL: readers see one state from their first word to their last, and never wait.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import StoreError
from luthier.retrieve import tally
from luthier.retrieve.bm25 import Statistics
from luthier.retrieve.ports import Chunk, Document

SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
  id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, source TEXT NOT NULL, sha256 TEXT NOT NULL,
  state TEXT NOT NULL, title TEXT NOT NULL, summary TEXT NOT NULL, metadata TEXT NOT NULL, text BLOB NOT NULL,
  parsed BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS document_label ON document (label) WHERE state = 'here';
CREATE INDEX IF NOT EXISTS document_held ON document (label, sha256, source) WHERE state = 'here';
CREATE INDEX IF NOT EXISTS document_left ON document (id) WHERE state <> 'here';
CREATE TABLE IF NOT EXISTS chunk (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, kind TEXT NOT NULL, place INTEGER NOT NULL,
  parent INTEGER, page INTEGER, heading TEXT NOT NULL, begin INTEGER NOT NULL, finish INTEGER NOT NULL,
  metadata TEXT NOT NULL, text TEXT NOT NULL, tokens TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunk_document ON chunk (document, kind, place);
CREATE INDEX IF NOT EXISTS chunk_content ON chunk (content);
CREATE TABLE IF NOT EXISTS total (kind TEXT PRIMARY KEY, chunks INTEGER NOT NULL, words INTEGER NOT NULL) WITHOUT ROWID;
"""
BUSY_SECONDS = 60.0
CHUNK = (
    "chunk.id, document.label, chunk.text, chunk.page, chunk.heading, chunk.begin, chunk.finish, chunk.parent, "
    "chunk.metadata"
)
BEGINS = 40
"""Characters of a chunk that tell what it is, such as the number of an article."""
AT_ONCE = 500
"""Values in one SQL statement."""


@dataclass(frozen=True)
class Section:
    """Where a heading, or a text that may be pointed to, begins."""

    chunk: int
    heading: str
    """The innermost; '' where there is none."""
    begins: str
    """The first characters of the chunk."""
    anchors: tuple[str, ...] = ()
    """Names by which links point to it."""


class Catalogue:
    """One connection. Every call of it must be inside `reading()` or a writer's transaction."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if not create and not path.exists():
            raise StoreError(
                "the knowledge base has no catalogue", where=str(path), mend="make it: luthier index FILES..."
            )
        self.path = path
        self.connection = connect(path)
        self.tally = tally.Tally(self.connection)
        if create:
            self.connection.executescript(SCHEMA + tally.SCHEMA)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one state of the knowledge base."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    @property
    def revision(self) -> int:
        """Raised by every change that can be seen."""
        return int(self.fact("revision") or 0)

    def fact(self, name: str) -> Any:
        """Give a fact, or None."""
        row = self.connection.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def statistics(self, kind: str, asked: Sequence[str]) -> Statistics:
        """Give what BM25 must know of all chunks of a kind."""
        chunks, length = self.totals(kind)
        return Statistics(chunks, length, self.tally.find(kind, list(dict.fromkeys(asked))))

    def totals(self, kind: str) -> tuple[int, int]:
        """Give how many chunks of a kind there are, and their words."""
        row = self.connection.execute("SELECT chunks, words FROM total WHERE kind = ?", (kind,)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def tokens(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """Give the words of those of these chunks that are here."""
        return {number: text.split(" ") if text else [] for number, text in self._here("chunk.id, tokens", ids)}

    def chunks(self, ids: Sequence[int]) -> dict[int, Chunk]:
        """Give those of these chunks that are here."""
        return {row[0]: _chunk(row) for row in self._here(CHUNK, ids)}

    def owners(self, ids: Sequence[int]) -> dict[int, int]:
        """Give the document of each of these chunks that are here."""
        return dict(self._here("chunk.id, chunk.document", ids))

    def chunks_of(self, documents: Sequence[int]) -> list[int]:
        """Give the ids of the searched chunks in these documents."""
        found: list[int] = []
        for part in _parts(documents):
            marks = ",".join("?" * len(part))
            rows = self.connection.execute(f"SELECT id FROM chunk WHERE kind = 'chunk' AND document IN ({marks})", part)
            found.extend(number for (number,) in rows)
        return found

    def around(self, number: int, before: int, after: int) -> list[Chunk]:
        """Give a chunk between its neighbours of the same kind."""
        rows = self.connection.execute(
            f"""SELECT {CHUNK} FROM chunk JOIN document ON document.id = chunk.document
            JOIN chunk AS mid ON mid.id = ? AND chunk.document = mid.document AND chunk.kind = mid.kind
              AND chunk.place BETWEEN mid.place - ? AND mid.place + ?
            WHERE document.state = 'here' ORDER BY chunk.place""",
            (number, before, after),
        )
        return [_chunk(row) for row in rows]

    def document(self, label: str) -> Document | None:
        """Give a document with its text, or None."""
        row = self.connection.execute(
            "SELECT label, title, sha256, text, summary, metadata FROM document WHERE label = ? AND state = 'here'",
            (label,),
        ).fetchone()
        if row is None:
            return None
        return Document(row[0], row[1], row[2], unpack(row[3]), row[4], json.loads(row[5]))

    def documents(self) -> dict[str, tuple[int, str, str]]:
        """Give label -> (id, SHA-256, source) of all that are here."""
        rows = self.connection.execute("SELECT label, id, sha256, source FROM document WHERE state = 'here'")
        return {label: (number, sha256, source) for label, number, sha256, source in rows}

    def sections(self, label: str) -> list[Section]:
        """Give the searched chunks of a document in their order, with their headings and how they begin."""
        rows = self.connection.execute(
            "SELECT chunk.id, heading, substr(chunk.text, 1, ?), "
            "CASE json_type(chunk.metadata, '$._anchors') WHEN 'array' THEN json_extract(chunk.metadata, '$._anchors') "
            "ELSE '[]' END FROM chunk "
            "JOIN document ON document.id = chunk.document "
            "WHERE label = ? AND state = 'here' AND kind = 'chunk' ORDER BY place",
            (BEGINS, label),
        )
        return [
            Section(number, (json.loads(heading) or [""])[-1], begins, tuple(json.loads(anchors)))
            for number, heading, begins, anchors in rows
        ]

    def children(self, parents: Sequence[int]) -> dict[int, int]:
        """Give how many chunks each of these parents has."""
        found: dict[int, int] = {}
        for part in _parts(parents):
            marks = ",".join("?" * len(part))
            found.update(
                self.connection.execute(
                    "SELECT parent, count(*) FROM chunk WHERE document IN (SELECT document FROM chunk WHERE id IN "
                    f"({marks})) AND parent IN ({marks}) GROUP BY parent",
                    (*part, *part),
                )
            )
        return found

    def titles(self, most: int) -> list[str]:
        """Give the titles of the first documents that are here."""
        rows = self.connection.execute("SELECT title FROM document WHERE state = 'here' ORDER BY id LIMIT ?", (most,))
        return [title for (title,) in rows]

    def _here(self, columns: str, ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        for part in _parts(ids):
            marks = ",".join("?" * len(part))
            yield from self.connection.execute(
                f"SELECT {columns} FROM chunk JOIN document ON document.id = chunk.document "
                f"WHERE chunk.id IN ({marks}) AND document.state = 'here'",
                part,
            )

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open a file of ours: WAL, transactions begun and ended by hand, for any thread (one at a time)."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it or nothing. Other writers wait, readers do not."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def pack(text: str) -> bytes:
    """Give a text small."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def unpack(data: bytes) -> str:
    """Give the text that was packed."""
    return zlib.decompress(data).decode("utf-8", "surrogatepass")


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(values), AT_ONCE):
        yield values[begin : begin + AT_ONCE]


def _chunk(row: Sequence[Any]) -> Chunk:
    number, label, text, page, heading, begin, end, parent, metadata = row
    values: Mapping[str, Any] = json.loads(metadata)
    return Chunk(number, label, text, page, tuple(json.loads(heading)), (begin, end), parent, values)
