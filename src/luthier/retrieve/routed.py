"""Several knowledge bases as one: those are asked whose descriptions fit the question."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import numpy.typing as npt

from luthier.errors import DataError, SpecError
from luthier.measure.support import content
from luthier.retrieve.fusion import RRF_CONSTANT
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase
from luthier.retrieve.ports import Chunk, Document, Found, Hit, Question

TITLES = 200
"""So many of its documents' titles belong to a description."""


@dataclass(frozen=True)
class Described:
    """What a base is known by, in one state of it."""

    revision: int
    about: str
    words: frozenset[str]
    """Of its name, what it is about, and its documents' titles."""
    vector: npt.NDArray[np.float32] | None
    """Of what it is about; None where the bases have no embedder in common."""


class RoutedIndex:
    """An `Index` over several others. A hit says in `base` where it was found."""

    def __init__(self, bases: Sequence[KnowledgeBase]) -> None:
        """Takes at least two, of different names. Raises SpecError otherwise."""
        names = [base.name for base in bases]
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise SpecError(
                f"{', '.join(names)} are not several knowledge bases",
                where="key bases",
                mend="name two or more, each once",
            )
        self._bases = {base.name: base for base in bases}
        self._lock = threading.Lock()
        self._described: dict[str, Described] = {}

    @property
    def name(self) -> str:
        """Their names, joined."""
        return "+".join(self._bases)

    @property
    def about(self) -> str:
        """What each of them knows."""
        return "; ".join(f"{name}: {base.about}" if base.about else name for name, base in self._bases.items())

    @property
    def revision(self) -> int:
        """The sum of theirs, so that every change of one raises it."""
        return sum(base.revision for base in self._bases.values())

    @property
    def embedder(self) -> str:
        """The embedder that all of them were made with, '' where they differ: then their cosines do not compare."""
        found = {base.embedder for base in self._bases.values()}
        return found.pop() if len(found) == 1 else ""

    def search(self, question: Question | str, how: SearchSpec | None = None) -> Found:
        """Find chunks in the bases whose descriptions fit best; where no description says anything, in all."""
        asked = Question(question) if isinstance(question, str) else question
        fits = self.fits(asked.text)
        best = sorted((name for name in fits if fits[name] > 0), key=lambda name: -fits[name])
        chosen = best[: how.bases if how else 1] or list(self._bases)
        found = {name: self._bases[name].search(asked, _possible(how, self._bases[name])) for name in chosen}
        hits = _joined([list(one.hits) for one in found.values()])
        return Found(
            tuple(hits[: how.top] if how else hits),
            self.revision,
            sum(one.scored for one in found.values()),
            sum(one.chunks for one in found.values()),
            tuple(label for one in found.values() for label in one.documents),
            {key: sum(one.seconds.get(key, 0.0) for one in found.values()) for key in ("embed", "search")},
            {name: fits[name] for name in chosen},
        )

    def fits(self, question: str) -> dict[str, float]:
        """Give how well each base's description fits a question, 0 to 1.

        By words: the share of what the question asks for that the description speaks of, each word by how few of the
        descriptions have it. Where all bases have one embedder, by meaning too, from 0 for the farthest to 1.
        """
        described = {name: self._describe(base) for name, base in self._bases.items()}
        wanted = content(question)
        worth = {word: _worth(sum(word in one.words for one in described.values()), len(described)) for word in wanted}
        total = sum(worth.values()) or 1.0
        by_words = {name: sum(worth[word] for word in wanted & one.words) / total for name, one in described.items()}
        vectors = [one.vector for one in described.values() if one.vector is not None]
        if len(vectors) < len(described):
            return by_words
        [asked] = next(iter(self._bases.values())).embed([question])
        near = np.stack(vectors) @ asked
        spread = (near - near.min()) / max(1e-6, float(near.max() - near.min()))
        return {name: (by_words[name] + float(value)) / 2 for name, value in zip(described, spread, strict=True)}

    def parent(self, hit: Hit) -> Chunk:
        """Give the larger chunk around a hit."""
        return self._bases[hit.base].parent(hit)

    def around(self, hit: Hit, before: int = 1, after: int = 1) -> list[Chunk]:
        """Give a hit's chunk between its neighbours."""
        return self._bases[hit.base].around(hit, before, after)

    def document(self, label: str, base: str = "") -> Document:
        """Give a document; of the first base that has it where none is named."""
        if base:
            return self._bases[base].document(label)
        for one in self._bases.values():
            if label in one.labels():
                return one.document(label)
        raise DataError(
            f"there is no document {label!r} in {self.name}", where="its label", mend="see luthier index --list"
        )

    def labels(self) -> list[str]:
        """Give the labels of all documents of all bases."""
        return sorted({label for base in self._bases.values() for label in base.labels()})

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give the vectors of texts as passages, by the embedder that all bases have."""
        return next(iter(self._bases.values())).embed(texts)

    def close(self) -> None:
        """Let go of all files."""
        for base in self._bases.values():
            base.close()

    def _describe(self, base: KnowledgeBase) -> Described:
        with self._lock:
            revision = base.revision
            known = self._described.get(base.name)
            if known is None or (known.revision, known.about) != (revision, base.about):
                said = content("\n".join([base.name, base.about, *base.titles(TITLES)]))
                vector = base.embed([base.about or base.name])[0] if self.embedder else None
                known = self._described[base.name] = Described(revision, base.about, said, vector)
            return known


def _worth(held: int, descriptions: int) -> float:
    """A word that all descriptions have tells nothing."""
    return log(1 + descriptions / max(1, held)) if held < descriptions else 0.0


def _possible(how: SearchSpec | None, base: KnowledgeBase) -> SearchSpec | None:
    """Bases need not all have an embedder: one that has none is searched by words."""
    if how is not None and how.way == "hybrid" and not base.embedder:
        return how.model_copy(update={"way": "bm25"})
    return how


def _joined(rankings: Sequence[list[Hit]]) -> list[Hit]:
    """Join what several bases found by reciprocal ranks: scores of one do not compare with those of another."""
    if len(rankings) == 1:
        return rankings[0]
    ranked = [
        replace(hit, score=1 / (RRF_CONSTANT + rank)) for hits in rankings for rank, hit in enumerate(hits, start=1)
    ]
    return sorted(ranked, key=lambda hit: -hit.score)
