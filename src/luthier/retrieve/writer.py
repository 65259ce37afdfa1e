"""What changes a knowledge base: documents come and go, one writer at a time."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from luthier.retrieve.bm25 import terms
from luthier.retrieve.catalogue import Catalogue, pack, writing
from luthier.retrieve.ports import Entry, Store, Vector

KNOWN = "SELECT id FROM chunk WHERE content = ? AND kind = ? LIMIT 1"
KINDS = ("chunk", "summary")
"""Kinds of pieces that are searched, each in a collection of its own; a `parent` is only handed over."""


OUTLINE_WORDS = 20_000
"""Different words of a document by which its summary is found, the most frequent ones."""


@dataclass(frozen=True)
class Draft:
    """A piece of a document that is to be kept."""

    kind: Literal["chunk", "parent", "summary"]
    text: str
    span: tuple[int, int]
    heading: tuple[str, ...] = ()
    page: int | None = None
    parent: int | None = None
    """The place of its parent among the document's drafts, which stands before it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def searched(self) -> str:
        """What it is found by: its headings and its text."""
        return "\n".join([*self.heading[-2:], self.text])

    @property
    def content(self) -> bytes:
        """A hash of what it is found by: equal ones have equal vectors."""
        return hashlib.sha256(self.searched.encode("utf-8", "surrogatepass")).digest()[:16]


@dataclass(frozen=True)
class NewDocument:
    """A document cut into pieces."""

    label: str
    source: str
    sha256: str
    title: str
    text: str
    summary: str
    metadata: Mapping[str, Any]
    drafts: Sequence[Draft]
    parsed: str = ""
    """How it was read, as JSON: it can be cut anew without its file."""


class Writer:
    """Changes a catalogue and its stores. The caller holds the knowledge base's lock."""

    def __init__(self, catalogue: Catalogue, stores: Mapping[str, Store]) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._run = catalogue.connection.execute
        self.sweep()

    def sweep(self) -> int:
        """Take away what a killed writer left: documents that were coming or going. Gives how many."""
        left = [number for (number,) in self._run("SELECT id FROM document WHERE state <> 'here'")]
        self._erase(left)
        return len(left)

    def known_vectors(self, drafts: Sequence[Draft]) -> dict[bytes, Vector]:
        """Give content -> vector of those drafts whose like was embedded before."""
        contents = {draft.content: draft.kind for draft in drafts if draft.kind in KINDS}
        found: dict[bytes, Vector] = {}
        for kind in KINDS:
            ids: dict[int, bytes] = {}
            for content in (content for content, its in contents.items() if its == kind):
                row = self._run(KNOWN, (content, kind)).fetchone()
                if row:
                    ids[row[0]] = content
            found.update({ids[number]: vector for number, vector in self._stores[kind].vectors(list(ids)).items()})
        return found

    def add(self, documents: Sequence[NewDocument], vectors: Mapping[bytes, Vector]) -> None:
        """Bring documents in, each in place of the one of its label; all of them are found at once, or none.

        `vectors` has one for the content of every searched draft; an empty one means: no embedder.
        """
        entries: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
        with writing(self._catalogue.connection):
            coming = [self._insert(document, vectors, entries) for document in documents]
        for kind, found in entries.items():
            self._stores[kind].put(found)
        with writing(self._catalogue.connection):
            old = self._ids_of([document.label for document in documents])
            self._mark_gone(old)
            for number in coming:
                self._run("UPDATE document SET state = 'here' WHERE id = ?", (number,))
            for kind, found in entries.items():
                self._count(kind, [entry.tokens for entry in found], 1)
            self._raise_revision()
        self._erase(old)

    def delete(self, labels: Sequence[str]) -> int:
        """Take documents out: none of their chunks is found once this returns. Gives how many there were."""
        with writing(self._catalogue.connection):
            old = self._ids_of(labels)
            self._mark_gone(old)
            if old:
                self._raise_revision()
        self._erase(old)
        return len(old)

    def _insert(
        self, document: NewDocument, vectors: Mapping[bytes, Vector], entries: Mapping[str, list[Entry]]
    ) -> int:
        cursor = self._run(
            "INSERT INTO document (label, source, sha256, state, title, summary, metadata, text, parsed) "
            "VALUES (?, ?, ?, 'coming', ?, ?, ?, ?, ?)",
            (
                document.label,
                document.source,
                document.sha256,
                document.title,
                document.summary,
                _json(document.metadata),
                pack(document.text),
                pack(document.parsed),
            ),
        )
        number = int(cursor.lastrowid or 0)
        ids: list[int] = []
        said: Counter[str] = Counter()
        for place, draft in enumerate(document.drafts):
            tokens = tuple(terms(draft.searched)) if draft.kind in KINDS else ()
            if draft.kind == "chunk":
                said.update(tokens)
            elif draft.kind == "summary":
                tokens += _outline(said)
            content = draft.content
            cursor = self._run(
                "INSERT INTO chunk (document, kind, place, parent, page, heading, begin, finish, metadata, text, "
                "tokens, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    draft.kind,
                    place,
                    None if draft.parent is None else ids[draft.parent],
                    draft.page,
                    _json(draft.heading),
                    *draft.span,
                    _json({**document.metadata, **draft.metadata}),
                    draft.text,
                    " ".join(tokens),
                    content,
                ),
            )
            ids.append(int(cursor.lastrowid or 0))
            if draft.kind in KINDS:
                entries[draft.kind].append(Entry(ids[-1], tokens, vectors.get(content)))
        return number

    def _mark_gone(self, documents: Sequence[int]) -> None:
        """Let documents not be found any more, inside a transaction."""
        self._catalogue.connection.executemany(
            "UPDATE document SET state = 'gone' WHERE id = ?", [(number,) for number in documents]
        )

    def _erase(self, documents: Sequence[int]) -> None:
        """Take away documents that are not found: from the stores, and with what they say in the statistics."""
        for number in documents:
            for kind in KINDS:
                rows = self._run("SELECT id FROM chunk WHERE document = ? AND kind = ?", (number, kind))
                self._stores[kind].delete([chunk for (chunk,) in rows])
        with writing(self._catalogue.connection):
            for number in self._counted(documents):
                for kind in KINDS:
                    rows = self._run("SELECT tokens FROM chunk WHERE document = ? AND kind = ?", (number, kind))
                    self._count(kind, [tuple(text.split(" ")) if text else () for (text,) in rows], -1)
            for number in documents:
                self._run("DELETE FROM chunk WHERE document = ?", (number,))
                self._run("DELETE FROM document WHERE id = ?", (number,))

    def _counted(self, documents: Sequence[int]) -> list[int]:
        """Give those that were here once: what was only coming is in no statistics."""
        states = {number: self._run("SELECT state FROM document WHERE id = ?", (number,)) for number in documents}
        return [number for number, row in states.items() if row.fetchone() == ("gone",)]

    def _ids_of(self, labels: Sequence[str]) -> list[int]:
        found: list[int] = []
        for label in labels:
            row = self._run("SELECT id FROM document WHERE label = ? AND state = 'here'", (label,)).fetchone()
            found.extend(row or ())
        return found

    def _count(self, kind: str, token_lists: Sequence[tuple[str, ...]], sign: int) -> None:
        holding: Counter[str] = Counter()
        for tokens in token_lists:
            holding.update(set(tokens))
        self._catalogue.connection.executemany(
            "INSERT INTO word VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET chunks = chunks + excluded.chunks",
            [(kind, word, sign * count) for word, count in sorted(holding.items())],
        )
        self._run(
            "INSERT INTO total VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET chunks = chunks + excluded.chunks, words = words + excluded.words",
            (kind, sign * len(token_lists), sign * sum(map(len, token_lists))),
        )

    def _raise_revision(self) -> None:
        self._run(
            "INSERT INTO fact VALUES ('revision', 1) ON CONFLICT DO UPDATE SET value = value + 1",
        )


def _outline(said: Counter[str]) -> tuple[str, ...]:
    """Give the words of a document, each half as often as it is said: a summary is found by them too, since what is
    asked for seldom stands in a summary. Halves, because in a long text a word may come again before it tells less; of
    six ways to count them the best on covid_qa."""
    common = said.most_common(OUTLINE_WORDS)
    return tuple(word for word, count in common for _ in range(max(1, count // 2)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
