"""What is known of documents, as plain values, and what a store of vectors and words must do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from luthier.retrieve.postings import Postings

Vector = npt.NDArray[np.float32]
"""Shape (width,), of length 1."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, as it is searched and cited."""

    id: int
    """Its number in the knowledge base; never given again after a delete."""
    document: str
    """The label of its document: a path as it was given, with `#row` behind it where a row is a document."""
    text: str
    """Equal to the document's text from `span[0]` to `span[1]`."""
    page: int | None = None
    """From 1; None where the format has no pages."""
    heading: tuple[str, ...] = ()
    """The headings above it, outermost first."""
    span: tuple[int, int] = (0, 0)
    """Characters in the document's text: begin, end."""
    parent: int | None = None
    """The larger chunk it is a part of."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A document as the knowledge base holds it."""

    label: str
    title: str
    sha256: str
    """Of the file's bytes, or of the row."""
    text: str
    summary: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A chunk that was found, and why."""

    chunk: Chunk
    score: float
    """What it was ranked by; comparable within one search only."""
    why: Mapping[str, float] = field(default_factory=dict)
    """What each way said: bm25, dense (scores), bm25_rank, dense_rank (from 1); linked_from (the chunk that points to
    it), merged (how many of its chunks were found)."""
    base: str = ""
    """The name of its knowledge base."""


@dataclass(frozen=True)
class Question:
    """What is looked for."""

    text: str
    """Words are taken from it."""
    passage: str | None = None
    """A text such as the answer would be: its meaning is looked for in place of the question's."""


@dataclass(frozen=True)
class Found:
    """What a search gave, and what it cost."""

    hits: tuple[Hit, ...]
    revision: int
    """The state of the knowledge base that was searched; all hits are of this one state."""
    scored: int
    """How many chunks were scored by meaning or by words."""
    chunks: int
    """How many there are."""
    documents: tuple[str, ...] = ()
    """Those the first of two steps chose, best first."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """embed, and search: all the rest."""
    routes: Mapping[str, float] = field(default_factory=dict)
    """Of several bases, those that were asked, and how well the description of each fits."""


class Index(Protocol):
    """A knowledge base that can be searched, or several as one."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def about(self) -> str:
        """What it knows, in a sentence: it is chosen by it among others."""

    @property
    def revision(self) -> int:
        """Raised by every change."""

    def search(self, question: Question | str, how: Any = None) -> Found:
        """Find chunks as a SearchSpec says (None: its defaults).

        Raises SpecError for a way this base cannot go (meaning, in one that was made without an embedder).
        """

    def parent(self, hit: Hit) -> Chunk:
        """Give the larger chunk around a hit, or its own where it has none."""

    def around(self, hit: Hit, before: int = 1, after: int = 1) -> list[Chunk]:
        """Give a hit's chunk between its neighbours in the document, in the document's order."""

    def document(self, label: str, base: str = "") -> Document:
        """Give a document with its whole text. Raises DataError if there is none of this label."""

    def labels(self) -> list[str]:
        """Give the labels of all documents."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give the vectors of texts as passages, shape (texts, width)."""


@dataclass(frozen=True)
class Entry:
    """What a store keeps of a chunk."""

    id: int
    tokens: tuple[str, ...]
    """The words it is found by, repeated as often as they stand in it."""
    vector: Vector | None
    """None where the knowledge base has no embedder."""


class Store(Protocol):
    """Where vectors and words lie: one collection of entries. The catalogue, not the store, says what exists."""

    @property
    def is_exact(self) -> bool:
        """Whether `lexical` scores by our BM25, over all entries; else they are candidates, which we score."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries; those of a known id are replaced. They can be found when this returns."""

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries; unknown ids are no error. They cannot be found when this returns."""

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the (id, cosine) of the nearest entries, exactly, the nearest first; `only` among these ids."""

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give (id, score) of entries that hold some of the terms (term -> how much it tells, its idf), best first."""

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those of these ids that it holds."""

    def ids(self) -> Iterator[int]:
        """Give every id it holds."""

    def drop(self) -> None:
        """Take the whole collection away."""

    def close(self) -> None:
        """Let go of connections."""


@runtime_checkable
class TurnedStore(Store, Protocol):
    """A store that keeps words turned around, as whoever makes entries ready can do for it."""

    def put_turned(
        self, ids: Sequence[int], vectors: Sequence[Vector | None], lengths: Sequence[int], postings: Postings
    ) -> None:
        """Keep entries of rising ids, with how many words each has; `postings` calls them by their places."""
