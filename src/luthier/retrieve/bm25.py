"""BM25 over our own words: what words tell (idf), and the score of a chunk.

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.2; the idf is
Lucene's, ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from threading import Lock

import Stemmer

from luthier.measure.coded import Coded, coded_texts
from luthier.measure.words import words

K1 = 1.2
"""How soon repeating a word stops counting."""
B = 0.6
"""How much longer chunks must say a word more often; of six usual pairs the best over SciFact, CMRC and legal_zh."""


@dataclass(frozen=True)
class Statistics:
    """What must be known of all chunks."""

    chunks: int
    length: int
    """Words of all chunks."""
    holding: Mapping[str, int]
    """Word -> how many chunks hold it, of the words asked for."""


WORDS = 3
"""Raised when `terms` gives others, or they are kept otherwise: what an earlier version kept is not found by them."""
STEMS_KEPT = 200_000
"""A vocabulary: taking a word to its stem costs as much as finding hundreds of words."""
_LAST_ASCII = "{"
"""Words of a to z, and only they and numbers and some mixed ones, stand before it."""
_stemmer = Stemmer.Stemmer("english")
_stems: dict[str, str] = {}
_lock = Lock()


def terms(text: str) -> list[str]:
    """Give the words a text is found by: CJK characters and their pairs, numbers and other words whole, but for those
    of a to z, which are found by their stems (Porter 2, as Snowball has it): "returns" by "returned"."""
    return list(map(_form, words(text, bigrams=True)))


def coded_terms(texts: Sequence[str]) -> tuple[Coded, list[str]]:
    """Give the terms of texts as numbers, and those of each text with a blank between them."""
    return coded_texts(texts, _form)


def _form(word: str) -> str:
    return word if word > _LAST_ASCII else _stems.get(word) or _stem(word)


def _stem(word: str) -> str:
    if not (word.isascii() and word.isalpha()):
        return word
    with _lock:  # the stemmer works on itself
        if len(_stems) >= STEMS_KEPT:
            _stems.clear()
        stem = _stems[word] = str(_stemmer.stemWord(word))
    return stem


def weigh(asked: Sequence[str], statistics: Statistics) -> dict[str, float]:
    """Give the idf of each word that some chunk holds, times how often it is asked."""
    counts = Counter(asked)
    return {
        word: count * log(1 + (statistics.chunks - held + 0.5) / (held + 0.5))
        for word, count in counts.items()
        if (held := statistics.holding.get(word, 0))
    }


def score(weights: Mapping[str, float], tokens: Sequence[str], mean_length: float) -> float:
    """Give the BM25 score of a chunk of these words."""
    found = Counter(token for token in tokens if token in weights)
    norm = K1 * (1 - B + B * len(tokens) / mean_length)
    return sum(weights[word] * count * (K1 + 1) / (count + norm) for word, count in found.items())
