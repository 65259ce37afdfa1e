"""Open a knowledge base to search it."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from luthier.engine.ports import Embedder
from luthier.errors import DataError, SpecError, StoreError
from luthier.event import Tell, hush
from luthier.retrieve.batch import KINDS
from luthier.retrieve.bm25 import WORDS
from luthier.retrieve.catalogue import Catalogue
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.place import CATALOGUE, CURRENT, Current, folder_of, read_current
from luthier.retrieve.ports import Chunk, Document, Found, Hit, Question, Store, Vector
from luthier.retrieve.search import search
from luthier.retrieve.stores import open_store


def open_index(given: Path, embedder: Embedder | None = None, tell: Tell = hush) -> "KnowledgeBase":
    """Open a knowledge base's folder, or that of an artifact of the kind `index`.

    Without an `embedder` the one it was made with is opened, when it is needed. Raises StoreError for another folder,
    DataError for an embedder of another width than the vectors have.
    """
    return KnowledgeBase(folder_of(given), embedder, tell)


class KnowledgeBase:
    """One knowledge base. Threads may share it: their searches wait for each other, never for a writer."""

    def __init__(self, folder: Path, embedder: Embedder | None, tell: Tell) -> None:
        self._folder = folder
        self._given = embedder
        self._tell = tell
        self._lock = threading.RLock()
        self._stamp: tuple[int, int] | None = None
        self._embedder: Embedder | None = None
        self._open()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._folder.name

    @property
    def about(self) -> str:
        """What it knows."""
        return self.current.about

    @property
    def embedder(self) -> str:
        """The name of the embedder it was made with, '' for none."""
        return self.current.embedder

    @property
    def revision(self) -> int:
        """Raised by every change."""
        with self._lock:
            self._open()
            with self._catalogue.reading():
                return self._catalogue.revision

    def search(self, question: Question | str, how: SearchSpec | None = None) -> Found:
        """Find chunks."""
        asked = Question(question) if isinstance(question, str) else question
        wish = how or SearchSpec(way="hybrid" if self.current.embedder else "bm25")
        with self._lock:
            self._open()
            embed = self._embed_question if self.current.embedder else None
            return search(self._catalogue, self._stores, asked, wish, embed, self.name)

    def parent(self, hit: Hit) -> Chunk:
        """Give the larger chunk around a hit, or its own where it has none."""
        number = hit.chunk.parent
        if number is None:
            return hit.chunk
        with self._lock, self._catalogue.reading():
            found = self._catalogue.chunks([number]).get(number, hit.chunk)
        (begin, end), own = found.span, hit.chunk  # another thread may have opened a generation of other numbers
        is_around = found.document == own.document and begin <= own.span[0] and own.span[1] <= end
        return found if is_around else own

    def around(self, hit: Hit, before: int = 1, after: int = 1) -> list[Chunk]:
        """Give a hit's chunk between its neighbours."""
        with self._lock, self._catalogue.reading():
            return self._catalogue.around(hit.chunk.id, before, after)

    def document(self, label: str, base: str = "") -> Document:
        """Give a document with its whole text."""
        with self._lock, self._catalogue.reading():
            found = self._catalogue.document(label)
        if found is None:
            raise DataError(
                f"there is no document {label!r} in the knowledge base {self.name!r}",
                where=str(self._folder),
                mend="its documents: luthier index --list",
            )
        return found

    def labels(self) -> list[str]:
        """Give the labels of all documents."""
        with self._lock:
            self._open()
            with self._catalogue.reading():
                return sorted(self._catalogue.documents())

    def titles(self, most: int) -> list[str]:
        """Give the titles of some of its documents."""
        with self._lock:
            self._open()
            with self._catalogue.reading():
                return self._catalogue.titles(most)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give the vectors of texts as passages."""
        return self._need_embedder().embed(texts, "passage", self._tell)

    def close(self) -> None:
        """Let go of its files."""
        with self._lock:
            self._catalogue.close()
            for store in self._stores.values():
                store.close()

    def _open(self) -> None:
        """Open the generation that is read now, where it is another than before."""
        found = (self._folder / CURRENT).stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        if self._stamp is not None:
            self.close()
        self.current: Current = read_current(self._folder)
        if self.current.words != WORDS:
            raise StoreError(
                "the knowledge base was made by another version, which finds it by other words",
                where=str(self._folder),
                mend="bring it up to date: the same luthier index command again",
            )
        place = self._folder / self.current.generation
        self._catalogue = Catalogue(place / CATALOGUE)
        self._stores: dict[str, Store] = {
            kind: open_store(self.current.store, kind, self.current.width, place, self.current.store_settings)
            for kind in KINDS
        }
        self._embedder = self._given
        if self._given is not None:
            _check_width(self._given, self.current, self._folder)
        self._stamp = stamp

    def _embed_question(self, question: Question) -> Vector:
        embedder = self._need_embedder()
        text, role = (question.passage, "passage") if question.passage is not None else (question.text, "query")
        vector: Vector = embedder.embed([text], role, self._tell)[0]  # type: ignore[arg-type]
        return vector

    def _need_embedder(self) -> Embedder:
        if self._embedder is None:
            from luthier.engine.embed import open_embedder  # loads a model

            if not self.current.embedder:
                raise SpecError(
                    f"the knowledge base {self.name!r} was made without an embedder",
                    where=str(self._folder),
                    mend="make it again with embedder=...",
                )
            self._embedder = open_embedder(self.current.embedder, self._tell)
            _check_width(self._embedder, self.current, self._folder)
        return self._embedder


def _check_width(embedder: Embedder, current: Current, folder: Path) -> None:
    if current.embedder and embedder.width != current.width:
        raise DataError(
            f"the embedder {embedder.name!r} gives vectors of {embedder.width} numbers, the index has {current.width}",
            where=str(folder),
            mend=f"use {current.embedder!r}, or make the index anew: luthier index embedder={embedder.name}",
        )
