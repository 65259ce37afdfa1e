"""What changes a knowledge base: documents come and go, one writer at a time."""

from collections.abc import Mapping, Sequence

from luthier.retrieve.batch import KINDS, Batch, Draft, NewDocument, batch_of
from luthier.retrieve.catalogue import Catalogue, writing
from luthier.retrieve.ports import Entry, Store, TurnedStore, Vector
from luthier.retrieve.postings import Postings, turn

KNOWN = "SELECT id FROM chunk WHERE content = ? AND kind = ? LIMIT 1"


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
        self.bring(batch_of(documents), vectors)

    def bring(self, batch: Batch, vectors: Mapping[bytes, Vector]) -> None:
        """Bring in documents that were made ready, as `add` does."""
        with writing(self._catalogue.connection):
            coming, ids = self._insert(batch)
        for kind in KINDS:
            self._put(kind, batch, ids[kind], vectors)
        with writing(self._catalogue.connection):
            old = self._ids_of([label for label, *_ in batch.documents])
            self._mark_gone(old)
            self._run("UPDATE document SET state = 'here' WHERE id BETWEEN ? AND ?", (coming[0], coming[-1]))
            for kind in KINDS:
                self._count(kind, batch.lengths[kind], batch.postings[kind], 1)
            self._raise_revision()
        if old:
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

    def rise_above(self, revision: int) -> None:
        """Let the revision be above that of the generation before: who remembers something by it begins anew."""
        self._run(
            "INSERT INTO fact VALUES ('revision', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            (revision + 1,),
        )

    def _insert(self, batch: Batch) -> tuple[list[int], dict[str, list[int]]]:
        """Write documents that are coming; gives their ids, and those of their searched pieces by kind."""
        last = dict(self._run("SELECT name, seq FROM sqlite_sequence").fetchall())
        document, chunk = last.get("document", 0) + 1, last.get("chunk", 0) + 1
        coming = list(range(document, document + len(batch.documents)))
        many = self._catalogue.connection.executemany
        many(
            "INSERT INTO document (id, label, source, sha256, state, title, summary, metadata, text, parsed) "
            "VALUES (?, ?, ?, ?, 'coming', ?, ?, ?, ?, ?)",
            [(number, *row) for number, row in zip(coming, batch.documents, strict=True)],
        )
        many(
            "INSERT INTO chunk (id, document, kind, place, parent, page, heading, begin, finish, metadata, text, "
            "tokens, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (number, document + at, kind, place, None if up is None else number - up, *rest)
                for number, (kind, at, place, up, *rest) in enumerate(batch.pieces, chunk)
            ),
        )
        ids: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for number, piece in enumerate(batch.pieces, chunk):
            if piece.kind in ids:
                ids[piece.kind].append(number)
        return coming, ids

    def _put(self, kind: str, batch: Batch, ids: Sequence[int], vectors: Mapping[bytes, Vector]) -> None:
        """Let a store keep a batch's pieces of a kind."""
        pieces = [piece for piece in batch.pieces if piece.kind == kind]
        their = [vectors.get(piece.content) for piece in pieces]
        store = self._stores[kind]
        if isinstance(store, TurnedStore):
            store.put_turned(ids, their, batch.lengths[kind], batch.postings[kind])
        else:
            said = (tuple(piece.tokens.split(" ")) if piece.tokens else () for piece in pieces)
            store.put([Entry(*one) for one in zip(ids, said, their, strict=True)])

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
            counted = self._counted(documents)
            for kind in KINDS:
                said = [
                    text.split(" ") if text else []
                    for number in counted
                    for (text,) in self._run("SELECT tokens FROM chunk WHERE document = ? AND kind = ?", (number, kind))
                ]
                self._count(kind, list(map(len, said)), turn(said), -1)
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

    def _count(self, kind: str, lengths: Sequence[int], postings: Postings, sign: int) -> None:
        if not lengths:
            return
        self._catalogue.tally.add(kind, postings, sign)
        self._run(
            "INSERT INTO total VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET chunks = chunks + excluded.chunks, words = words + excluded.words",
            (kind, sign * len(lengths), sign * sum(lengths)),
        )

    def _raise_revision(self) -> None:
        self._run(
            "INSERT INTO fact VALUES ('revision', 1) ON CONFLICT DO UPDATE SET value = value + 1",
        )
