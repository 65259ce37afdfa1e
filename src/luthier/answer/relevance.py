"""How near each sentence of the passages is to a question: by words, and by meaning where the base has an embedder."""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from luthier.answer.passage import Passage
from luthier.answer.quoting import HIDDEN
from luthier.measure.sentences import Span, sentences
from luthier.measure.support import WINDOW, content
from luthier.retrieve.ports import Index

MOST_SENTENCES = 40
"""Of a passage."""
MEANT = 12
"""So many sentences, those nearest by words, are looked at by meaning: each costs an embedder 5 to 100 ms on a CPU."""
KEPT_VECTORS = 4_000
PICTURE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
"""In Markdown. What a picture's file is called says nothing to a reader."""
MARKERS = "-*+> \t\n"
"""What stands before an item of a list, and around it."""


@dataclass(frozen=True)
class Rated:
    """A sentence of a passage and how near it is, about 0 to 1."""

    span: Span
    score: float


class Meaning:
    """Vectors of texts, each asked of the embedder once; there is none where the base has no embedder."""

    def __init__(self, index: Index, has_embedder: bool) -> None:
        self._index = index
        self.is_there = has_embedder
        self._lock = threading.Lock()
        self._known: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give the vectors of texts, shape (texts, width)."""
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        fresh = dict(zip(missing, self._index.embed(missing), strict=True)) if missing else {}
        found = [fresh[text] if text in fresh else known[text] for text in texts]
        with self._lock:
            self._known.update(fresh)
            while len(self._known) > KEPT_VECTORS:
                self._known.popitem(last=False)
        return np.stack(found)


class Relevance:
    """Rates sentences; for those that words find nearest, words and meaning count half each."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning

    def rate(self, question: str, passages: Sequence[Passage]) -> list[list[Rated]]:
        """Give, for each passage, its sentences with their scores, in their order."""
        rated = [by_words(question, passage) for passage in passages]
        if not self._meaning.is_there:
            return rated
        places = [(place, number) for place, found in enumerate(rated) for number in range(len(found))]
        nearest = sorted(places, key=lambda pair: -rated[pair[0]][pair[1]].score)[:MEANT]
        if not nearest:
            return rated
        texts = [passages[place].chunk.text[slice(*rated[place][number].span)] for place, number in nearest]
        vectors = self._meaning.vectors([question, *texts])
        rated = [[replace(each, score=each.score / 2) for each in found] for found in rated]
        for (place, number), likeness in zip(nearest, vectors[1:] @ vectors[0], strict=True):
            each = rated[place][number]
            rated[place][number] = replace(each, score=each.score + float(likeness) / 2)
        return rated


def by_words(question: str, passage: Passage) -> list[Rated]:
    """Rate the sentences of a passage by the words they share with a question."""
    wanted, text = content(question), passage.chunk.text
    spans = sentences(text)[:MOST_SENTENCES]
    if "row" in passage.chunk.metadata:  # its columns belong together: a question tells nothing without its answer
        spans = [(part[0][0], part[-1][1]) for part in _parts(spans, WINDOW)]
    said = [((begin, end), PICTURE.sub("", HIDDEN.sub("", text[begin:end]))) for begin, end in spans]
    return [Rated(span, _overlap(wanted, content(words))) for span, words in said if words.strip(MARKERS)]


def _parts(spans: Sequence[Span], count: int) -> list[Sequence[Span]]:
    """Give runs of at most so many, as even as can be: none overlap, and the end of a long row does not stand alone."""
    runs = -(-len(spans) // count)
    ends = [len(spans) * number // runs for number in range(runs + 1)] if runs else []
    return [spans[begin:end] for begin, end in pairwise(ends)]


def _overlap(wanted: frozenset[str], found: frozenset[str]) -> float:
    """The share of what is asked for, less a little for what else is said: of two equal ones the shorter wins."""
    if not wanted or not found:
        return 0.0
    common = len(wanted & found)
    return common / len(wanted) * (0.8 + 0.2 * common / len(found))
