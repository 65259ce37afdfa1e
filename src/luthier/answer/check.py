"""Every sentence of an answer is held against the passages: what carries it is cited, what nothing carries is marked.

A number that a generator writes is a hint, never a citation: the passage behind it must exist and carry the sentence,
else another that does is cited, or none. So a wrong or invented number cannot reach the reader.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.answer.passage import Passage
from luthier.answer.quoting import HIDDEN, as_written, is_order
from luthier.measure.sentences import Span, sentences
from luthier.measure.support import Support, content, support

MOST_SOURCES = 2
"""Cited for one sentence, the ones that carry most of it."""
_NUMBERS = r"\d{1,3}(?:\s*[,，、;–-]\s*\d{1,3})*"
MARKER = re.compile(rf"\s*(?:\[\^?{_NUMBERS}\]|【{_NUMBERS}】|［{_NUMBERS}］)")
_AFTER_END = re.compile(rf"([。！？.!?…]+[”’」』\"']*)((?:{MARKER.pattern})+)")


@dataclass(frozen=True)
class Source:
    """Where a sentence stands: `span` points into the document's text."""

    number: int
    passage: Passage
    span: Span
    quote: str
    share: float
    """Of the sentence's content, what the quote holds."""


@dataclass(frozen=True)
class Sentence:
    """One checked sentence. `text` is without numbers; `before` is the white space that stood before it."""

    text: str
    before: str
    sources: tuple[Source, ...]
    is_claim: bool
    """Whether it says anything that a source could carry: `Yes.` does not."""
    is_order: bool
    """Whether it repeats what a document says to the machine that reads it."""

    @property
    def is_carried(self) -> bool:
        """Whether a source carries it."""
        return bool(self.sources) or not self.is_claim

    def plain(self) -> dict[str, Any]:
        """Give it as plain JSON."""
        sources = [
            {"number": each.number, "span": list(each.span), "share": round(each.share, 3)} for each in self.sources
        ]
        return {"text": self.text, "sources": sources, "carried": self.is_carried, "quoted": self.is_order}


class Checker:
    """Holds one answer's sentences against its passages, and numbers the sources as they are first cited."""

    def __init__(self, passages: Sequence[Passage], carried: float) -> None:
        self._passages = passages
        """In the order a generator saw them: its number n is the n-th."""
        self._carried = carried
        self._numbers: dict[int, int] = {}
        self._read = [HIDDEN.sub("", passage.chunk.text) for passage in passages]
        """As a generator read them: a letter that nobody sees would part a word in two."""
        self._orders = [
            [said for begin, end in sentences(text) if is_order(said := text[begin:end])] for text in self._read
        ]
        self.sentences: list[Sentence] = []

    def check(self, raw: str) -> Sentence:
        """Check one sentence as it was said, with the numbers in it."""
        hinted = [int(number) - 1 for found in MARKER.findall(raw) for number in re.findall(r"\d+", found)]
        bare = MARKER.sub("", raw)
        text = bare.strip()
        found = {place: support(text, read) for place, read in enumerate(self._read)}
        carrying = {place: each for place, each in found.items() if each.share >= self._carried}
        chosen = [place for place in dict.fromkeys(hinted) if place in carrying] or sorted(
            carrying, key=lambda place: -carrying[place].share
        )[:1]
        sentence = Sentence(
            text=text,
            before=bare[: len(bare) - len(bare.lstrip())],
            sources=tuple(self._source(place, carrying[place]) for place in chosen[:MOST_SOURCES]),
            is_claim=bool(content(text)),
            is_order=is_order(text) or self._repeats_an_order(text),
        )
        self.sentences.append(sentence)
        return sentence

    def _repeats_an_order(self, text: str) -> bool:
        """Whether it says what an order in a passage says, or what the order wants said: all of it stands there."""
        return any(support(text, order).share >= max(self._carried, 0.8) for orders in self._orders for order in orders)

    def _source(self, place: int, found: Support) -> Source:
        chunk = self._passages[place].chunk
        number = self._numbers.setdefault(place, len(self._numbers) + 1)
        begin, end = as_written(chunk.text, found.span)
        span = (chunk.span[0] + begin, chunk.span[0] + end)
        return Source(number, self._passages[place], span, chunk.text[begin:end], found.share)

    def sources(self) -> list[Mapping[str, Any]]:
        """Give the cited sources by their numbers, as plain JSON, each with what was quoted of it."""
        cited: dict[int, dict[str, Any]] = {}
        for source in (source for sentence in self.sentences for source in sentence.sources):
            chunk = source.passage.chunk
            entry = cited.setdefault(
                source.number,
                {
                    "number": source.number,
                    "base": source.passage.base,
                    "document": chunk.document,
                    "page": chunk.page,
                    "heading": list(chunk.heading),
                    "span": list(chunk.span),
                    "quotes": [],
                },
            )
            quote = {"span": list(source.span), "text": source.quote}
            if quote not in entry["quotes"]:
                entry["quotes"].append(quote)
        return [cited[number] for number in sorted(cited)]


class Hearer:
    """Cuts what is being said into whole sentences; numbers that follow an end mark belong to what stands before it."""

    def __init__(self) -> None:
        self._held = ""

    def hear(self, text: str) -> list[str]:
        """Take more text. Gives the sentences that are whole by now, with the white space before them."""
        self._held = _AFTER_END.sub(r"\2\1", self._held + text)
        spans = sentences(self._held)
        if len(spans) < 2 or self._held[spans[-1][0]] in "[【［":
            return []
        cut = spans[-2][1]
        whole, self._held = self._held[:cut], self._held[cut:]
        return _with_space(whole)

    def finish(self) -> list[str]:
        """Give the rest."""
        whole, self._held = self._held, ""
        return _with_space(_AFTER_END.sub(r"\2\1", whole))


def _with_space(text: str) -> list[str]:
    ends = [end for _, end in sentences(text)]
    return [text[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
