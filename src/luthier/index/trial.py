"""How soon a cut of documents gives what questions are after: they are cut and kept aside, and really searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import numpy.typing as npt

from luthier.engine.ports import Embedder
from luthier.event import Tell, hush
from luthier.index.build import open_generation
from luthier.index.parsed import Parsed
from luthier.index.ready import Cutter
from luthier.index.spec import CutSpec, IndexSpec
from luthier.retrieve.batch import KINDS
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase
from luthier.retrieve.place import Current, flip
from luthier.retrieve.ports import Chunk, Vector
from luthier.retrieve.writer import Writer

Ranks = npt.NDArray[np.int64]
"""Of each question, the rank of the first chunk that holds what it is after, from 1; 0 where none does."""
DOCUMENTS_AT_ONCE = 100


@dataclass(frozen=True)
class Sought:
    """A question, and where its answer stands."""

    question: str
    places: tuple[tuple[str, int | None], ...]
    """Label of a document, and the character in its text that a chunk must hold; None: any chunk of it will do."""

    def is_in(self, chunk: Chunk) -> bool:
        """Whether a chunk holds one of the places."""
        begin, end = chunk.span
        return any(chunk.document == label and (place is None or begin <= place < end) for label, place in self.places)


@dataclass
class Remembered:
    """An embedder that embeds no text twice: cuts have many chunks in common, and all of them the questions."""

    inner: Embedder
    _vectors: dict[tuple[str, str], npt.NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.width, self.most_tokens = self.inner.name, self.inner.width, self.inner.most_tokens
        self.count_tokens = self.inner.count_tokens

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text."""
        new = [text for text in dict.fromkeys(texts) if (role, text) not in self._vectors]
        if new:
            found = self.inner.embed(new, role, tell)
            self._vectors.update(zip(((role, text) for text in new), found, strict=True))
        return np.stack([self._vectors[role, text] for text in texts])


def ranks(
    documents: Mapping[str, Parsed], cut: CutSpec, embedder: Remembered | None, sought: Sequence[Sought], most: int
) -> Ranks:
    """Ask every question of the documents, cut so; what stands behind the first `most` counts as not found."""
    cutter = Cutter(IndexSpec(cut=cut), embedder)
    name, width = (embedder.name, embedder.width) if embedder else ("", 0)
    current = Current("trial", "", name, name, width, "sqlite")
    with TemporaryDirectory() as place:
        folder = Path(place)
        catalogue, stores = open_generation(folder, current)
        writer = Writer(catalogue, stores)
        labels = list(documents)
        for begin in range(0, len(labels), DOCUMENTS_AT_ONCE):
            part = labels[begin : begin + DOCUMENTS_AT_ONCE]
            made = [cutter.document(documents[label], label, "", label, {}) for label in part]
            drafts = [draft for document in made for draft in document.drafts if draft.kind in KINDS]
            texts = {draft.content: draft.searched for draft in drafts}
            vectors: dict[bytes, Vector] = {}
            if embedder:
                vectors = dict(zip(texts, embedder.embed(list(texts.values()), "passage", hush), strict=True))
            writer.add(made, vectors)
        flip(folder, current)
        base = KnowledgeBase(folder, embedder, hush)
        how = SearchSpec(way="hybrid" if embedder else "bm25", top=most, candidates=max(100, most))
        found = [_rank(base, one, how) for one in sought]
        base.close()
        catalogue.close()
        for store in stores.values():
            store.close()
    return np.asarray(found, np.int64)


def _rank(base: KnowledgeBase, sought: Sought, how: SearchSpec) -> int:
    hits = base.search(sought.question, how).hits
    return next((rank for rank, hit in enumerate(hits, start=1) if sought.is_in(hit.chunk)), 0)
