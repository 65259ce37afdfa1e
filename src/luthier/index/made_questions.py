"""Questions made of documents, where nobody gave any: the telling words of a few sentences that stand together.

Source: Azzopardi, de Rijke and Balog 2007, "Building simulated queries for known-item topics": a known item's words are
drawn by how much they tell. They share the documents' words, so they compare cuts, not ways of searching.
"""

import random
from collections import Counter
from collections.abc import Mapping
from math import log

from luthier.index.parsed import Parsed
from luthier.index.trial import Sought
from luthier.measure.sentences import sentences
from luthier.measure.words import count_words, words

QUESTIONS = 200
WORDS = 4
"""Of a question: fewer than people use, because these are the documents' own."""
TOGETHER = 2
"""Sentences whose words make one question; it is answered where the first of them ends."""
LEAST_WORDS = 8
"""Of a sentence: shorter ones are heads and left-overs."""


def make_questions(documents: Mapping[str, Parsed], seed: int = 0) -> list[Sought]:
    """Give up to 200 questions, spread evenly over the documents; equal calls give equal ones."""
    draw = random.Random(seed)
    spans = {label: _long_sentences(parsed.text) for label, parsed in documents.items()}
    held: Counter[str] = Counter()
    for parsed in documents.values():
        held.update(set(_telling(parsed.text)))
    pool = [(label, place) for label, found in spans.items() for place in range(len(found) - TOGETHER + 1)]
    draw.shuffle(pool)
    turns: Counter[str] = Counter()
    ordered = []
    for label, place in pool:  # the first of each document, then the second of each, and so on
        turns[label] += 1
        ordered.append((turns[label], label, place))
    made = []
    for _, label, place in sorted(ordered, key=lambda one: one[0])[:QUESTIONS]:
        together = spans[label][place : place + TOGETHER]
        text = documents[label].text
        said = " ".join(text[begin:end] for begin, end in together)
        worth = {word: log(1 + len(documents) / held[word]) for word in dict.fromkeys(_telling(said))}
        chosen = set(_drawn(worth, draw))
        question = " ".join(word for word in worth if word in chosen)
        made.append(Sought(question, ((label, together[0][1] - 1),)))
    return made


def _long_sentences(text: str) -> list[tuple[int, int]]:
    return [(begin, end) for begin, end in sentences(text) if count_words(text[begin:end]) >= LEAST_WORDS]


def _telling(text: str) -> list[str]:
    """Words of at least two characters: of Chinese its pairs, which are nearer to words than its characters."""
    return [word for word in words(text, bigrams=True) if len(word) > 1]


def _drawn(worth: Mapping[str, float], draw: random.Random) -> list[str]:
    """Draw words without putting them back, each by its worth (Efraimidis and Spirakis 2006)."""
    keys = {word: draw.random() ** (1 / value) for word, value in worth.items()}
    return sorted(keys, key=lambda word: -keys[word])[:WORDS]
