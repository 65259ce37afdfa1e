"""Extractive summaries: the sentences that hold most of what a document keeps coming back to."""

from collections import Counter
from heapq import heapify, heappop, heapreplace
from itertools import islice
from math import fsum, log

from luthier.index.parsed import Parsed
from luthier.measure.words import words

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
    bags = [set(words(sentence, bigrams=True)) for sentence in found]
    spread = Counter[str]()
    for bag in bags:
        spread.update(bag)
    most = max(2, len(bags) // 2)
    value = {word: log(1 + count) for word, count in spread.items() if 1 < count <= most}
    lengths = [len(bag) for bag in bags]
    told = set(value)
    bags = [bag & told for bag in bags]
    chosen: list[int] = []
    room = most_words - len(words(" ".join(headings)))
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
        length = len(words(found[best]))
        if length > max(room, most_words // 3) and chosen:
            continue
        chosen.append(best)
        room -= length
        value.update({word: value[word] / 3 for word in bags[best]})
    title = [parsed.title] if parsed.title and parsed.title not in headings else []
    return "\n".join([*title, *headings[:20], *(found[place] for place in sorted(chosen))])


def _worth(told: set[str], value: dict[str, float], length: int, place: int) -> float:
    """The mean worth of a sentence's words, more for early ones; long ones are not preferred for their length alone."""
    return fsum(map(value.__getitem__, told)) / (length + 5) * (1 + 1 / (1 + place))
