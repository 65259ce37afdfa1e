"""Order what was found anew, by looking at question and passage together. A row for each way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.answer.passage import Passage
from luthier.answer.phrases import phrases_for
from luthier.answer.quoting import inside
from luthier.answer.relevance import Meaning, by_words
from luthier.answer.trace import Trace
from luthier.answer.writer import Writer

SENTENCES_LOOKED_AT = 4
"""Of a passage, by late interaction: each costs the embedder 5 to 100 ms on a CPU."""
JUDGED_CHARACTERS = 2_000
_PART = re.compile(r"[，,;；。.!！?？\n]+|\band\b|以及|并且")
_MARK = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Bench:
    """What a reranker may use."""

    meaning: Meaning
    writer: Writer | None
    folder: str
    trace: Trace


Scores = Callable[[str, Sequence[Passage], Bench], Sequence[float]]


def rerank(way: str, question: str, passages: Sequence[Passage], top: int, bench: Bench) -> list[Passage]:
    """Give passages with the first `top` ordered anew; what lies behind them keeps its place."""
    if way == "none" or len(passages) < 2:
        return list(passages)
    head = passages[:top]
    with bench.trace.timed("rerank", way=way, passages=len(head)) as entry:
        scores = [float(score) for score in RERANKERS[way](question, head, bench)]
        entry["scores"] = [round(score, 4) for score in scores]
    order = sorted(range(len(head)), key=lambda place: -scores[place])  # stable: equals keep their order
    ordered = [
        replace(head[place], score=scores[place], why={**head[place].why, way: scores[place]}) for place in order
    ]
    return [*ordered, *passages[top:]]


def _late(question: str, passages: Sequence[Passage], bench: Bench) -> Sequence[float]:
    """For each part of the question the likest sentence of a passage, averaged over the parts.

    ColBERT's sum of maxima (Khattab and Zaharia 2020, arXiv:2004.12832, equation 3), over parts and sentences in place
    of tokens, because an embedder gives one vector a text. Of a passage, the sentences nearest by words are looked at.
    """
    parts = list(dict.fromkeys([question, *(part.strip() for part in _PART.split(question) if len(part.strip()) > 3)]))
    cut = [_nearest(question, passage) for passage in passages]
    vectors = bench.meaning.vectors([*parts, *(sentence for found in cut for sentence in found)])
    likeness_PS = vectors[: len(parts)] @ vectors[len(parts) :].T
    scores, begin = [], 0
    for found in cut:
        scores.append(float(likeness_PS[:, begin : begin + len(found)].max(axis=1).mean()) if found else -1.0)
        begin += len(found)
    return scores


def _nearest(question: str, passage: Passage) -> list[str]:
    rated = sorted(by_words(question, passage), key=lambda each: -each.score)[:SENTENCES_LOOKED_AT]
    return [passage.chunk.text[slice(*each.span)] for each in rated]


def _judge(question: str, passages: Sequence[Passage], bench: Bench) -> Sequence[float]:
    """Give the generator's marks, 0 to 10; where it writes none, the passage keeps to the middle."""
    if bench.writer is None:
        raise AssertionError("checked where the settings are read")
    ask = phrases_for(question)["judge"]
    texts = [
        ask.format(question=question, passage=inside(passage.chunk.text[:JUDGED_CHARACTERS])) for passage in passages
    ]
    said = bench.writer.write_each("judge", texts, bench.trace, max_tokens=8)
    marks = [_MARK.search(text) for text in said]
    return [min(10.0, float(mark.group())) if mark else 5.0 for mark in marks]


def _cross(question: str, passages: Sequence[Passage], bench: Bench) -> Sequence[float]:
    from luthier.answer.cross_encoder import open_cross_encoder  # torch: only where one is used

    scores = open_cross_encoder(bench.folder)(question, [passage.chunk.text for passage in passages])
    return list(np.asarray(scores, dtype=np.float64))


RERANKERS: dict[str, Scores] = {"cross": _cross, "late": _late, "judge": _judge}
