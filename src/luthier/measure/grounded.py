"""Figures of answers that rest on documents: what is carried, what is cited, what was read, what was left unsaid.

They read `Answer.details` as a knowledge base gives it: `passages` (what was read, with scores), `sentences` (each with
the numbers of its sources) and `sources` (with what was quoted). Whether a text carries a sentence is asked of
`support`, in place of the model that the papers ask; a row of which a figure says nothing counts for nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.measure.sentences import sentences
from luthier.measure.support import CARRIED, content, support

NOT_FOUND = {"en": "This is not in the documents.", "zh": "文档中没有相关内容。"}
"""What is said where the documents do not hold the answer; a reference that says so asks for just that."""
_ENDS = ("is not in the documents", "are not in the documents", "文档中没有相关内容")
_MARKER = re.compile(r"\s*\[\d{1,3}\]")

Row = tuple[float, float]
"""What a row adds to the sum, and how much it counts."""
NOTHING: Row = (0.0, 0.0)


def is_not_found(text: str) -> bool:
    """Whether a text says, and says only, that the documents do not hold the answer; small models name it in full: "the
    price is not in the documents"."""
    bare = text.strip().strip("\"'“”「」").rstrip("。.!！").casefold()
    return bare.endswith(_ENDS) and len(sentences(text)) == 1


def faithfulness(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """The share of the answer's sentences that what was read carries. Source: Es et al. 2023, arXiv:2309.15217."""
    contexts = [str(passage["text"]) for passage in details.get("passages", ())]
    claims = _claims(answer)
    if not contexts or not claims or is_not_found(answer):
        return NOTHING
    carried = sum(any(_carries([context], claim) for context in contexts) for claim in claims)
    return carried / len(claims), 1.0


def answer_relevance(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """The share of what the question asks about that the answer speaks of; one that evades speaks of nothing."""
    wanted = content(question)
    if not wanted:
        return NOTHING
    return (0.0 if is_not_found(answer) else len(wanted & content(answer)) / len(wanted)), 1.0


def context_precision(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """How far at the front, among what was read, the passages stand that carry a sentence of the reference.

    The mean, over the places of such passages, of the share of them so far. Source: Ragas, "context precision".
    """
    passages = sorted(details.get("passages", ()), key=lambda passage: -float(passage.get("score", 0.0)))
    claims = _claims(reference)
    if not passages or not claims or is_not_found(reference):
        return NOTHING
    relevant = [any(_carries([str(passage["text"])], claim) for claim in claims) for passage in passages]
    precisions = [sum(relevant[:place]) / place for place, hit in enumerate(relevant, 1) if hit]
    return (sum(precisions) / len(precisions) if precisions else 0.0), 1.0


def citation_recall(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """The share of sentences that what they cite carries. Source: Gao et al. 2023, arXiv:2305.14627, section 3."""
    cited = _cited(details)
    if not cited:
        return NOTHING
    return sum(_carries(quotes, text) for text, quotes in cited) / len(cited), 1.0


def citation_precision(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """The share of citations that are needed: one that carries nothing alone, and without which the others carry the
    sentence still, is not. Source: Gao et al. 2023, arXiv:2305.14627, section 3."""
    needed = [
        _carries(quotes, text) and (_carries([quote], text) or not _carries(quotes[:place] + quotes[place + 1 :], text))
        for text, quotes in _cited(details)
        for place, quote in enumerate(quotes)
    ]
    return (sum(needed) / len(needed), 1.0) if needed else NOTHING


def abstention(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
    """Whether the answer was withheld where the reference withholds it, and given where it is given."""
    said = bool(details.get("abstained")) or is_not_found(answer)
    return float(said == is_not_found(reference)), 1.0


def _claims(text: str) -> list[str]:
    bare = _MARKER.sub("", text)
    found = [bare[begin:end] for begin, end in sentences(bare)]
    return [sentence for sentence in found if content(sentence)]


def _cited(details: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Give each sentence that claims something, with what it cites."""
    quotes: dict[tuple[int, int], str] = {}
    for source in details.get("sources", ()):
        for quote in source["quotes"]:
            quotes[source["number"], quote["span"][0]] = str(quote["text"])
    return [
        (str(sentence["text"]), [quotes[each["number"], each["span"][0]] for each in sentence["sources"]])
        for sentence in details.get("sentences", ())
        if content(str(sentence["text"]))
    ]


def _carries(texts: Sequence[str], claim: str) -> bool:
    return bool(texts) and support(claim, "\n".join(texts)).share >= CARRIED
