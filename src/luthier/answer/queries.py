"""What is searched for: the question itself, and what else may find its answer. A row for each way."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from luthier.answer.phrases import phrases_for
from luthier.answer.trace import Trace
from luthier.answer.writer import Writer
from luthier.artifact.example import Message
from luthier.measure.support import content
from luthier.measure.words import words
from luthier.retrieve.ports import Question

MOST_LINES = 3
_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)、:：]|[一二三]、)\s*")
_LEANS = re.compile(
    r"\b(?:it|its|that|this|they|them|their|these|those|he|she|his|her|there|then|one|ones|and|else|instead)\b"
    r"|[它这那其该他她]|上述|前者|后者|呢[？?]?\s*$",
    re.I,
)
"""Words that point at what was said before."""


@dataclass(frozen=True)
class Looking:
    """A question being looked for."""

    question: str
    """As it was asked."""
    history: tuple[Message, ...]
    writer: Writer | None
    trace: Trace
    alone: str = field(default="")
    """The question as it stands alone, once `history` has made it so."""

    @property
    def asked(self) -> str:
        """What is to be found."""
        return self.alone or self.question


@dataclass(frozen=True)
class Way:
    """One way to come to queries."""

    about: str
    needs_generator: bool
    queries: Callable[[Looking], Sequence[Question]]


def alone(looking: Looking) -> str:
    """Give the question so that it can be understood without what was said before it.

    Without a generator: where it is short or points back, the content of the turn before is put in front of it.
    """
    earlier = [turn for turn in looking.history if turn.role in ("user", "assistant")]
    if not earlier:
        return looking.question
    if looking.writer is not None:
        said = phrases_for(looking.question)
        history = "\n".join(f"{turn.role}: {turn.content[:500]}" for turn in earlier[-4:])
        text = said["history"].format(history=history, question=looking.question)
        return _first_line(looking.writer.write("history", text, looking.trace)) or looking.question
    before = next((turn.content for turn in reversed(earlier) if turn.role == "user"), "")
    if len(content(looking.question)) > 3 and not _LEANS.search(looking.question):
        return looking.question
    return f"{before} {looking.question}".strip()


def _rewrite(looking: Looking) -> list[Question]:
    return [Question(line) for line in [_first_line(_write(looking, "rewrite"))] if line]


def _hyde(looking: Looking) -> list[Question]:
    """Gao et al. 2022, arXiv:2212.10496: the meaning of an answer that may be wrong is nearer to the right one's."""
    passage = _write(looking, "hyde")
    return [Question(looking.asked, passage)] if passage else []


def _several(looking: Looking) -> list[Question]:
    return [Question(line) for line in _lines(_write(looking, "several"))]


def _decompose(looking: Looking) -> list[Question]:
    return [Question(line) for line in _lines(_write(looking, "decompose"))]


def _step_back(looking: Looking) -> list[Question]:
    """Zheng et al. 2023, arXiv:2310.06117."""
    return [Question(line) for line in [_first_line(_write(looking, "step_back"))] if line]


WAYS: dict[str, Way] = {
    "history": Way("the question made to stand alone", False, lambda looking: []),
    "rewrite": Way("the words a document would use", True, _rewrite),
    "hyde": Way("an answer such as might be, looked for by its meaning", True, _hyde),
    "several": Way("other wordings", True, _several),
    "decompose": Way("simpler questions that come first", True, _decompose),
    "step_back": Way("the more general question behind it", True, _step_back),
}


def all_queries(looking: Looking, names: Sequence[str]) -> list[Question]:
    """Give what to search for, the question first; each is a line in the trace, what is equal stands once."""
    found: dict[tuple[str, str | None], Question] = {}
    by: Mapping[str, Sequence[Question]] = {
        "question": [Question(looking.asked)],
        **{name: WAYS[name].queries(looking) for name in names if name != "history"},
    }
    for name, queries in by.items():
        for query in queries:
            if (query.text, query.passage) not in found:
                found[query.text, query.passage] = query
                looking.trace.add("query", way=name, text=query.text, passage=query.passage)
        if not queries:
            looking.trace.add("query", way=name, text=None, why="the generator wrote nothing that can be searched for")
    return list(found.values())


def _write(looking: Looking, way: str) -> str:
    if looking.writer is None:
        raise AssertionError("checked where the settings are read")
    text = phrases_for(looking.question)[way].format(question=looking.asked)
    return looking.writer.write(way, text, looking.trace)


def _lines(text: str) -> list[str]:
    """Give the lines that say something, without list marks and without repetitions, at most three."""
    lines = [_MARK.sub("", line).strip().strip("\"'“”「」") for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if words(line)))[:MOST_LINES]


def _first_line(text: str) -> str:
    return next(iter(_lines(text)), "")
