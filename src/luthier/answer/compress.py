"""Cut passages down to what bears on the question; what is cut is only not shown, citations still see the whole."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from luthier.answer.passage import Passage
from luthier.answer.phrases import phrases_for
from luthier.answer.quoting import HIDDEN, inside
from luthier.answer.relevance import Relevance
from luthier.answer.trace import Trace
from luthier.answer.writer import Writer
from luthier.measure.support import CARRIED, support

KEPT_SHARE = 0.5
"""Of a passage's sentences, rounded up."""


def compress(
    way: str, question: str, passages: Sequence[Passage], relevance: Relevance, writer: Writer | None, trace: Trace
) -> list[Passage]:
    """Give passages with less to read."""
    if way == "none":
        return list(passages)
    before = sum(len(passage.read) for passage in passages)
    shown = COMPRESSORS[way](question, passages, relevance, writer, trace)
    kept = [replace(passage, shown=text) for passage, text in zip(passages, shown, strict=True) if text]
    trace.add(
        "compress",
        way=way,
        characters_before=before,
        characters_after=sum(len(passage.read) for passage in kept),
        left_out=[passage.plain() for passage, text in zip(passages, shown, strict=True) if not text],
    )
    return kept or list(passages)


def _sentences(
    question: str, passages: Sequence[Passage], relevance: Relevance, writer: Writer | None, trace: Trace
) -> list[str]:
    """Keep, of each passage, the half of its sentences that is nearest to the question, in their order."""
    found = []
    for passage, rated in zip(passages, relevance.rate(question, passages), strict=True):
        count = max(1, round(len(rated) * KEPT_SHARE + 0.49))
        best = sorted(sorted(rated, key=lambda each: -each.score)[:count], key=lambda each: each.span)
        found.append(" ".join(passage.chunk.text[slice(*each.span)] for each in best))
    return found


def _generator(
    question: str, passages: Sequence[Passage], relevance: Relevance, writer: Writer | None, trace: Trace
) -> list[str]:
    """Let the generator copy what helps; what it writes that the passage does not carry is not shown."""
    if writer is None:
        raise AssertionError("checked where the settings are read")
    ask = phrases_for(question)["compress"]
    texts = [ask.format(question=question, passage=inside(passage.read)) for passage in passages]
    said = writer.write_each("compress", texts, trace, max_tokens=256)
    return [_kept(text, passage) for text, passage in zip(said, passages, strict=True)]


def _kept(text: str, passage: Passage) -> str:
    if text.strip().upper().startswith("NONE"):
        return ""
    return text if support(text, HIDDEN.sub("", passage.chunk.text)).share >= CARRIED else passage.read


COMPRESSORS: dict[str, Callable[[str, Sequence[Passage], Relevance, Writer | None, Trace], list[str]]] = {
    "sentences": _sentences,
    "generator": _generator,
}
