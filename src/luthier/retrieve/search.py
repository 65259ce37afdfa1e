"""Search: words and meaning, fused; plain, in two steps, or on from what was found."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.errors import SpecError
from luthier.retrieve.bm25 import score, terms, weigh
from luthier.retrieve.catalogue import Catalogue
from luthier.retrieve.filters import allowed
from luthier.retrieve.follow import follow, merge
from luthier.retrieve.fusion import FUSIONS, diverse, in_order
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Found, Hit, Question, Store, Vector

Embed = Callable[[Question], Vector]


@dataclass
class Search:
    """One search in one state of a knowledge base."""

    catalogue: Catalogue
    stores: Mapping[str, Store]
    how: SearchSpec
    asked: list[str]
    """The question's words."""
    vector: Vector | None
    base: str
    scored: int = 0
    vanished: bool = False
    """Whether a store gave what the catalogue does not have: it changed while we looked."""
    why: dict[int, dict[str, float]] = field(default_factory=dict)

    def run(self) -> tuple[list[Hit], tuple[str, ...]]:
        """Give the hits, and the documents that the first of two steps chose."""
        only = allowed(self.catalogue, self.how.where)
        chosen: tuple[str, ...] = ()
        if self.how.path == "two_step":
            documents, chosen = self._choose_documents()
            inside = self.catalogue.chunks_of(documents)
            only = inside if only is None else sorted(set(only) & set(inside))
        count = max(self.how.candidates, self.how.top)
        ranking = self._rank("chunk", count, only)
        if self.how.mmr is not None and self.vector is not None:
            vectors = self.stores["chunk"].vectors([number for number, _ in ranking])
            kept = diverse(ranking, vectors, self.vector, self.how.mmr, self.how.top)
            scores = dict(ranking)
            ranking = [(number, scores[number]) for number in kept]
        ranking = ranking[: self.how.top]
        if self.how.path == "recursive":
            ranking = merge(self.catalogue, self._follow(ranking, only), self.why)[: self.how.top]
        return self._hits(ranking), chosen

    def _follow(self, ranking: Sequence[tuple[int, float]], only: Sequence[int] | None) -> list[tuple[int, float]]:
        """Go on along what chunks point to, not past a filter."""
        reached = follow(self.catalogue, ranking, self.why)[: self.how.top]
        return reached if only is None else [pair for pair in reached if pair[0] in set(only)]

    def _choose_documents(self) -> tuple[list[int], tuple[str, ...]]:
        """The first step: documents by their summaries."""
        ranking = self._rank("summary", self.how.documents, None)[: self.how.documents]
        owners = self.catalogue.owners([number for number, _ in ranking])
        chunks = self.catalogue.chunks([number for number, _ in ranking])
        present = [number for number, _ in ranking if number in chunks]
        return [owners[number] for number in present], tuple(chunks[number].document for number in present)

    def _rank(self, kind: str, count: int, only: Sequence[int] | None) -> list[tuple[int, float]]:
        """Rank pieces of a kind, those of `only` where it is given."""
        rankings = []
        if self.how.way in ("bm25", "hybrid"):
            rankings.append(("bm25", 1 - self.how.dense_weight, self._by_words(kind, count, only)))
        if self.vector is not None:
            rankings.append(("dense", self.how.dense_weight, self._by_meaning(kind, self.vector, count, only)))
        for name, _, ranking in rankings:
            for rank, (number, value) in enumerate(ranking, start=1):
                self.why.setdefault(number, {}).update({name: value, f"{name}_rank": float(rank)})
        if len(rankings) == 1:
            return rankings[0][2]
        return FUSIONS[self.how.fusion]([(weight, ranking) for _, weight, ranking in rankings])

    def _by_words(self, kind: str, count: int, only: Sequence[int] | None) -> list[tuple[int, float]]:
        statistics = self.catalogue.statistics(kind, self.asked)
        weights = weigh(self.asked, statistics)
        if not weights:
            return []
        if only is not None:
            ids = list(only)
        else:
            store = self.stores[kind]
            ranking = store.lexical(weights, count if store.is_exact else max(CANDIDATES, 3 * count))
            if store.is_exact:
                return self._present(kind, ranking)
            ids = [number for number, _ in ranking]
        tokens = self.catalogue.tokens(ids)
        self._notice(only is None and len(tokens) < len(ids))
        self.scored += len(tokens)
        mean = statistics.length / statistics.chunks
        scores = {number: value for number, found in tokens.items() if (value := score(weights, found, mean)) > 0}
        return in_order(scores)[:count]

    def _by_meaning(self, kind: str, vector: Vector, count: int, only: Sequence[int] | None) -> list[tuple[int, float]]:
        ranking = self.stores[kind].dense(vector, count, only)
        if only is not None:
            self.scored += len(only)
            return ranking
        return self._present(kind, ranking)

    def _present(self, kind: str, ranking: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """Keep those that are here, of a ranking for which everything was scored."""
        self.scored += self.catalogue.totals(kind)[0]
        here = self.catalogue.owners([number for number, _ in ranking])
        self._notice(len(here) < len(ranking))
        return [(number, value) for number, value in ranking if number in here]

    def _notice(self, has_vanished: bool) -> None:
        self.vanished = self.vanished or has_vanished

    def _hits(self, ranking: Sequence[tuple[int, float]]) -> list[Hit]:
        chunks = self.catalogue.chunks([number for number, _ in ranking])
        return [
            Hit(chunks[number], value, self.why.get(number, {}), self.base)
            for number, value in ranking
            if number in chunks
        ]


CANDIDATES = 300
"""The fewest candidates that a store brings which does not score as we do."""
TRIES = 3
"""How often a search that met a change is done again."""


def search(
    catalogue: Catalogue,
    stores: Mapping[str, Store],
    question: Question,
    how: SearchSpec,
    embed: Embed | None,
    base: str,
) -> Found:
    """Search one knowledge base."""
    if how.way != "bm25" and embed is None:
        raise SpecError(
            f"the knowledge base {base!r} was made without an embedder, {how.way!r} needs one",
            where="key search.way",
            mend="write search.way=bm25, or make it again with embedder=...",
        )
    began = time.perf_counter()
    vector = embed(question) if embed and how.way != "bm25" else None
    embedded = time.perf_counter()
    asked = terms(question.text)
    revision = -1
    for _ in range(TRIES):
        with catalogue.reading():
            if catalogue.revision == revision:
                break  # what vanished is on its way in or out: it would be looked for in the same state
            one = Search(catalogue, stores, how, asked, vector, base)
            hits, chosen = one.run()
            revision, chunks = catalogue.revision, catalogue.totals("chunk")[0]
        if not one.vanished:
            break
    seconds = {"embed": embedded - began, "search": time.perf_counter() - embedded}
    return Found(tuple(hits), revision, one.scored, chunks, chosen, seconds)


def unit(vector: Vector) -> Vector:
    """Give a vector of length 1."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if length else vector
