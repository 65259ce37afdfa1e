"""Extractive summaries: the sentences that hold most of what a document keeps coming back to."""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice
from math import fsum, log

import numpy as np

from luthier.index.parsed import Parsed
from luthier.measure.coded import coded_texts
from luthier.measure.words import count_words

SENTENCES_READ = 2000
"""Of a book, the first so many are looked at."""


def summarise(parsed: Parsed, most_words: int = 150) -> str:
    """Give the title, the headings and the likeliest sentences, in the document's order.

    A sentence counts by how often its words come in the document, each word once, words of every other sentence not at
    all; by its place, early ones more; and once one is chosen its words count less. Sources: Luhn 1958, "The automatic
    creation of literature abstracts"; Nenkova and Vanderwende 2005, SumBasic.
    """
    headings = list(dict.fromkeys(block.text for block in parsed.blocks if block.kind == "heading"))
    body = (block for block in parsed.blocks if block.kind != "heading")
    said = (block.text[begin:end] for block in body for begin, end in block.sentences)
    found = list(islice(said, SENTENCES_READ))
    bags, value, lengths = _bags(found)
    chosen: list[int] = []
    room = most_words - count_words(" ".join(headings))
    # worths only fall, so the one that stays in front when it is reckoned anew is the best
    left = [(-_worth(bags[place], value, length, place), place) for place, length in enumerate(lengths) if length]
    heapify(left)
    while left and room > 0:
        best = left[0][1]
        now = (-_worth(bags[best], value, lengths[best], best), best)
        heapreplace(left, now)
        if left[0] != now:
            continue
        heappop(left)
        length = count_words(found[best])
        if length > max(room, most_words // 3) and chosen:
            continue
        chosen.append(best)
        room -= length
        for word in bags[best]:
            value[word] /= 3
    title = [parsed.title] if parsed.title and parsed.title not in headings else []
    return "\n".join([*title, *headings[:20], *(found[place] for place in sorted(chosen))])


def _bags(found: Sequence[str]) -> tuple[list[list[int]], list[float], list[int]]:
    """Give the words of each sentence that count, each once, what each word is worth, and how many different words each
    sentence has."""
    said, _ = coded_texts(found)
    size = max(1, len(said.words))
    pairs = np.sort(np.repeat(np.arange(len(found)), said.lengths) * size + said.codes)
    holder, word = np.divmod(pairs[np.flatnonzero(np.diff(pairs, prepend=-1))], size)
    spread = np.bincount(word, minlength=size)
    lengths = np.bincount(holder, minlength=len(found))
    counts = (spread > 1) & (spread <= max(2, len(found) // 2))
    is_told = counts[word]
    ends = np.cumsum(np.bincount(holder[is_told], minlength=len(found)))[:-1]
    bags = [its.tolist() for its in np.split(word[is_told], ends)] if found else []
    return bags, [log(1 + count) for count in spread.tolist()], lengths.tolist()


def _worth(told: Sequence[int], value: Sequence[float], length: int, place: int) -> float:
    """The mean worth of a sentence's words, more for early ones; long ones are not preferred for their length alone."""
    return fsum(map(value.__getitem__, told)) / (length + 5) * (1 + 1 / (1 + place))
