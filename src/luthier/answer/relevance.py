"""How near each sentence of the passages is to a question: by words, and by meaning where the base has an embedder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.answer.passage import Passage
from luthier.measure.sentences import Span, sentences
from luthier.measure.support import content
from luthier.retrieve.ports import Index

MOST_SENTENCES = 40
"""Of a passage."""


@dataclass(frozen=True)
class Rated:
    """A sentence of a passage and how near it is, about 0 to 1."""

    span: Span
    score: float


class Relevance:
    """Rates sentences; with an embedder words and meaning count half each."""

    def __init__(self, index: Index, has_embedder: bool) -> None:
        self._index = index
        self._has_embedder = has_embedder

    def rate(self, question: str, passages: Sequence[Passage]) -> list[list[Rated]]:
        """Give, for each passage, its sentences with their scores, in their order."""
        spans = [sentences(passage.chunk.text)[:MOST_SENTENCES] for passage in passages]
        texts = [
            passage.chunk.text[begin:end]
            for passage, found in zip(passages, spans, strict=True)
            for begin, end in found
        ]
        if not texts:
            return [[] for _ in passages]
        scores = self._scores(question, texts)
        rated, place = [], 0
        for found in spans:
            rated.append([Rated(span, float(score)) for span, score in zip(found, scores[place:], strict=False)])
            place += len(found)
        return rated

    def _scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        wanted = content(question)
        by_words = np.asarray([_overlap(wanted, content(text)) for text in texts])
        if not self._has_embedder:
            return list(by_words)
        vectors = self._index.embed([question, *texts])
        return list((by_words + vectors[1:] @ vectors[0]) / 2)


def _overlap(wanted: frozenset[str], found: frozenset[str]) -> float:
    """The share of what is asked for, less a little for what else is said: of two equal ones the shorter wins."""
    if not wanted or not found:
        return 0.0
    common = len(wanted & found)
    return common / len(wanted) * (0.8 + 0.2 * common / len(found))
