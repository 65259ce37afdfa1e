"""One question to one answer: find, order, cut, say, check; every step in the trace."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.answer.check import Checker, Hearer, Sentence
from luthier.answer.compress import compress
from luthier.answer.confidence import DEFAULT_THRESHOLD, by_common_words
from luthier.answer.gather import gather_in_rounds
from luthier.answer.nearness import Nearness
from luthier.answer.passage import Passage
from luthier.answer.phrases import phrases_for
from luthier.answer.queries import Looking, all_queries, alone
from luthier.answer.relevance import Meaning, Relevance
from luthier.answer.rerank import Bench, rerank
from luthier.answer.sift import fit, leave_out_near_duplicates, surround, to_edges
from luthier.answer.spec import AnswerSpec
from luthier.answer.synthesis import SYNTHESES, Task
from luthier.answer.trace import Trace
from luthier.answer.writer import Writer
from luthier.artifact.example import Message
from luthier.errors import DataError
from luthier.measure.grounded import is_not_found
from luthier.measure.words import script_of
from luthier.retrieve.ports import Index

MOST_CONTEXT_TOKENS = 2_048
UNCOUNTED = 1_000_000
"""The budget where nobody reads a prompt: sentences are only taken."""


@dataclass(frozen=True)
class Found:
    """What an answer is to be made from."""

    question: str
    """As it stands alone."""
    passages: tuple[Passage, ...]
    """In the order of the prompt."""
    confidence: float
    documents: tuple[str, ...] = ()
    """Labels of all that was found, best first, each once."""


@dataclass
class Told:
    """An answer as it was told: checked sentences, and all that belongs to it."""

    abstained: bool = False
    other_language: bool = False
    """Whether it is written in other letters than the question."""
    confidence: float = 0.0
    sentences: list[Sentence] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    passages: list[dict[str, Any]] = field(default_factory=list)
    """What was read, in the order of the prompt: number, document, page, score, text."""
    found: tuple[str, ...] = ()
    """Labels of the documents that were found, best first."""

    def plain(self) -> dict[str, Any]:
        """Give it as plain JSON."""
        return {
            "sources": self.sources,
            "sentences": [sentence.plain() for sentence in self.sentences],
            "abstained": self.abstained,
            "other_language": self.other_language,
            "confidence": round(self.confidence, 4),
            "passages": self.passages,
            "found": list(self.found),
        }


class Answerer:
    """A knowledge base with the settings by which it answers."""

    def __init__(
        self,
        spec: AnswerSpec,
        index: Index,
        writer: Writer | None,
        meaning: Meaning,
        nearness: Nearness,
        threshold: float | None,
    ) -> None:
        self.spec = spec
        self.index = index
        self.writer = writer
        chosen = spec.threshold if spec.threshold is not None else threshold
        self.threshold = DEFAULT_THRESHOLD if chosen is None else chosen
        self._meaning = meaning
        self._nearness = nearness
        self._relevance = Relevance(meaning)
        self.synthesis = spec.synthesis
        self.rerank = spec.rerank
        if spec.synthesis == "auto":
            self.synthesis = "stuff" if writer else "extract"
        if spec.rerank == "auto":
            self.rerank = "cross" if spec.reranker else "late" if meaning.is_there else "none"

    def find(self, question: str, history: Sequence[Message], trace: Trace) -> Found:
        """Find what an answer is to be made from. Raises DataError for a question that is empty or too long."""
        asked, ranked = self._rank(question, history, trace)
        found = self._first(ranked, trace)
        sure = self._confidence(asked, found, trace)
        documents = tuple(dict.fromkeys(passage.chunk.document for passage in ranked))
        if sure < self.threshold:
            return Found(asked, (), sure, documents)
        found = surround(self.index, found, self.spec.surroundings, trace)
        found = compress(self.spec.compress, asked, found, self._relevance, self.writer, trace)
        return Found(asked, tuple(self._arrange(found, trace)), sure, documents)

    def confidences(self, question: str, history: Sequence[Message], documents: Sequence[str]) -> tuple[float, float]:
        """Give how sure it is of a question, and how sure it would be without these documents."""
        trace = Trace(question)
        asked, ranked = self._rank(question, history, trace)
        left = [passage for passage in ranked if passage.chunk.document not in documents]
        whole = self._confidence(asked, self._first(ranked, trace), trace)
        return whole, self._confidence(asked, self._first(left, trace), trace, documents)

    def _confidence(
        self, question: str, passages: Sequence[Passage], trace: Trace, without: Sequence[str] = ()
    ) -> float:
        """How sure it is that the base holds the answer: by words, or by meaning where that is more."""
        words, meaning = by_common_words(question, passages), self._nearness.of(question, self.spec.search, without)
        sure = max(words, meaning) if passages else 0.0
        facts = {"words": round(words, 4), "meaning": round(meaning, 4), "threshold": self.threshold}
        trace.add("confidence", value=round(sure, 4), **facts)
        return sure

    def _rank(self, question: str, history: Sequence[Message], trace: Trace) -> tuple[str, list[Passage]]:
        """Give the question as it stands alone, and what was found for it, the best first."""
        _check(question, self.spec.question_characters)
        spec, looking = self.spec, Looking(question, tuple(history), self.writer, trace)
        if "history" in spec.queries and history:
            looking = Looking(question, looking.history, self.writer, trace, alone(looking))
        asked = looking.asked
        queries = all_queries(looking, spec.queries)
        found = gather_in_rounds(
            self.index, queries, spec.search, spec.rounds, lambda passages: self._draft(asked, passages, trace), trace
        )
        bench = Bench(self._meaning, self.writer, spec.reranker, trace)
        return asked, rerank(self.rerank, asked, found, spec.rerank_top, bench)

    def _first(self, ranked: Sequence[Passage], trace: Trace) -> list[Passage]:
        return leave_out_near_duplicates(ranked, self.spec.near_duplicate, trace)[: self.spec.passages]

    def _arrange(self, passages: Sequence[Passage], trace: Trace) -> Sequence[Passage]:
        """Fit passages into the prompt, best first or best at the ends."""
        if self.writer is None:
            return passages
        budget, count = self.most_tokens, self.writer.count
        if SYNTHESES[self.synthesis].holds_all:
            fitted = fit(passages, budget, count, trace)
        else:
            fitted = [pair for passage in passages for pair in fit([passage], budget, count, trace)]
        ordered = to_edges(fitted) if self.spec.order == "edges" else [passage for passage, _ in fitted]
        trace.add("order", how=self.spec.order, tokens=[tokens for _, tokens in fitted])
        return ordered

    @property
    def most_tokens(self) -> int:
        """How many tokens of passages a prompt holds."""
        if self.writer is None:
            return UNCOUNTED
        context = self.writer.context or 2 * MOST_CONTEXT_TOKENS
        return self.spec.context_tokens or min(MOST_CONTEXT_TOKENS, context // 2)

    def _draft(self, question: str, passages: Sequence[Passage], trace: Trace) -> tuple[str, bool]:
        """Answer in short from what was found so far; says too whether sources carry all of it."""
        best = list(passages[: self.spec.passages])
        if self.writer is not None:
            best = [passage for passage, _ in fit(best, self.most_tokens, self.writer.count, trace)]
        task = self._task(question, best, trace)
        raw = list(_raw_sentences("stuff" if self.writer else "extract", task))
        checker = Checker(best, self.spec.carried)
        checked = [checker.check(each) for each in raw]
        text = " ".join(sentence.text for sentence in checked if sentence.is_carried)
        carried = bool(checked) and all(sentence.is_carried for sentence in checked) and not is_not_found("".join(raw))
        return text, carried

    def _task(
        self,
        question: str,
        passages: Sequence[Passage],
        trace: Trace,
        system: str = "",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Task:
        return Task(
            question, passages, self.spec, self._relevance, self.writer, self.most_tokens, trace, cancelled, system
        )

    def say(
        self, found: Found, trace: Trace, told: Told, system: str = "", cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Give the answer's text, sentence by sentence, each checked before; `told` is filled on the way."""
        said = phrases_for(found.question)
        told.confidence, told.found = found.confidence, found.documents
        told.passages = [
            {
                "number": number,
                "document": passage.chunk.document,
                "page": passage.chunk.page,
                "score": round(passage.score, 6),
                "text": passage.chunk.text,
            }
            for number, passage in enumerate(found.passages, 1)
        ]
        if not found.passages:
            told.abstained = True
            yield said["not_found"]
            return
        checker = Checker(found.passages, self.spec.carried)
        told.sentences = checker.sentences
        task = self._task(found.question, found.passages, trace, system, cancelled)
        try:
            yield from self._checked(task, checker, told)
        finally:  # a stop string may have ended it
            told.sources = [] if told.abstained else checker.sources()
            told.other_language = _differs(found.question, [sentence.text for sentence in checker.sentences])
            trace.add("check", sentences=[sentence.plain() for sentence in checker.sentences])

    def _checked(self, task: Task, checker: Checker, told: Told) -> Iterator[str]:
        said = phrases_for(task.question)
        is_first = True
        for raw in _raw_sentences(self.synthesis, task):
            if not checker.sentences and is_not_found(raw):
                told.abstained = True
                break
            sentence = checker.check(raw)
            text = self._rendered(sentence, said)
            if text:
                yield self._foreword(task.question, sentence, said) + text.lstrip() if is_first else text
                is_first = False
        told.abstained = told.abstained or is_first
        if told.abstained:
            yield said["not_found"]

    def _foreword(self, question: str, sentence: Sentence, said: Any) -> str:
        """Sentences as they stand may be in another language than the question: that is said before the first."""
        is_foreign = self.synthesis == "extract" and _differs(question, [sentence.text])
        return f"{said['other_language']} " if is_foreign else ""

    def _rendered(self, sentence: Sentence, said: Any) -> str:
        if not sentence.text:
            return ""
        if not sentence.is_carried and self.spec.uncarried == "drop":
            return ""
        text = said["quoted"].format(text=sentence.text) if sentence.is_order else sentence.text
        marks = "".join(f"[{source.number}]" for source in sentence.sources)
        if not sentence.is_carried:
            marks = said["uncarried"]
        gap = " " if marks and text[-1:].isascii() else ""
        return f"{sentence.before}{text}{gap}{marks}"


def _differs(question: str, texts: Sequence[str]) -> bool:
    """Whether texts are written otherwise than the question, as far as letters tell."""
    return bool(texts) and script_of([question])[0] != script_of(texts)[0]


def _raw_sentences(name: str, task: Task) -> Iterator[str]:
    """Give the sentences of an answer as they are said, not yet checked."""
    way = SYNTHESES[name]
    if way.gives_sentences:
        yield from way.say(task)
        return
    hearer = Hearer()
    for piece in way.say(task):
        yield from hearer.hear(piece)
    yield from hearer.finish()


def _check(question: str, most: int) -> None:
    if not question.strip():
        raise DataError("the question is empty", where="the question", mend="write what is to be answered")
    if len(question) > most:
        raise DataError(
            f"the question has {len(question)} characters, at most {most} are read",
            where="the question",
            mend="ask shorter, and put long texts into the knowledge base (luthier index); or set question_characters",
        )
