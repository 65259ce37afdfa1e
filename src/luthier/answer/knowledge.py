"""A knowledge base as a `ChatModel`: whoever asks models may ask it, and gets sources with the answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from luthier.answer.answerer import Answerer, Told
from luthier.answer.sift import cut
from luthier.answer.trace import Trace
from luthier.answer.writer import about_tokens
from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import (
    ALWAYS_TAKEN,
    Answer,
    Closing,
    Finish,
    Piece,
    Prompt,
    Sampling,
    Watched,
    check_takes,
    streams_at_once,
)
from luthier.errors import DataError
from luthier.event import Progress, Tell, hush

Keep = Callable[[Mapping[str, Any]], None]
"""Takes the trace of every answer."""
Recorded = tuple[Mapping[str, Any], ...]
"""The steps of an earlier trace."""


WITHOUT_GENERATOR = 4
"""Streams at the same time where sentences are only taken: they share one embedder and one store."""


class KnowledgeModel:
    """A knowledge base that answers. Threads may share it where its generator may be shared."""

    def __init__(self, name: str, answerers: Callable[[Sampling], Answerer], keep: Keep = lambda trace: None) -> None:
        """`answerers` gives an answerer that draws as a request wishes; `keep` takes the trace of every answer."""
        self._name = name
        self._answerers = answerers
        self._keep = keep
        self._plain = answerers(Sampling())

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Its generator's."""
        return self._plain.writer.model.defaults if self._plain.writer else {}

    @property
    def takes(self) -> frozenset[str]:
        """What every engine heeds; sentences that are taken as they stand are the same however one draws."""
        return ALWAYS_TAKEN

    @property
    def at_once(self) -> int:
        """How many streams it takes at the same time: as many as its generator."""
        return streams_at_once(self._plain.writer.model) if self._plain.writer else WITHOUT_GENERATOR

    def ailing(self) -> str:
        """Give why its generator cannot answer just now."""
        generator = self._plain.writer.model if self._plain.writer else None
        return generator.ailing() if isinstance(generator, Watched) else ""

    def close(self) -> None:
        """Let go of its generator."""
        generator: object = self._plain.writer.model if self._plain.writer else None
        if isinstance(generator, Closing):
            generator.close()

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts, one after the other."""
        answers: list[Answer] = []
        for prompt in prompts:
            answers.append(self.reply(prompt, sampling))
            tell(Progress("answers", len(answers), len(prompts), "answers"))
        return answers

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt sentence by sentence: each is checked against its sources before it is given.

        The search is done before this returns: its errors come at once. `Answer.details` has `sources`, `sentences`,
        `abstained`, `confidence`, `threshold`, the `passages` that were read and the documents `found`.
        """
        return self._begin(prompt, sampling, cancelled, ())

    def reply(self, prompt: Prompt, sampling: Sampling, recorded: Recorded = ()) -> Answer:
        """Answer one prompt; what the steps of an earlier trace hold is taken from there."""
        answers = [piece.answer for piece in self._begin(prompt, sampling, _never, recorded) if piece.answer]
        return answers[-1]

    def confidences(self, question: str, history: Sequence[Message], documents: Sequence[str]) -> tuple[float, float]:
        """Give how sure it is that the answer was found, and how sure it would be without these documents."""
        return self._plain.confidences(question, history, documents)

    def _begin(
        self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool], recorded: Recorded
    ) -> Iterator[Piece]:
        check_takes(self, sampling)
        system, history, question = _read(prompt)
        answerer = self._answerers(sampling)
        trace = Trace(question, history, recorded=recorded)
        found = answerer.find(question, history, trace)
        told = Told()
        texts = answerer.say(found, trace, told, system, cancelled)
        if answerer.writer is None and sampling.max_tokens is not None:
            texts = _bounded(texts, sampling.max_tokens, trace)
        return self._pieces(texts, trace, told, answerer.threshold, sampling.stop, cancelled)

    def _pieces(
        self,
        texts: Iterator[str],
        trace: Trace,
        told: Told,
        threshold: float,
        stops: Sequence[str],
        cancelled: Callable[[], bool],
    ) -> Iterator[Piece]:
        said = ""
        for text in texts:
            if cancelled():
                return
            fresh, is_stopped = _until_stop(said, text, stops)
            said += fresh
            yield Piece(fresh)
            if is_stopped:
                break
        if cancelled():
            return
        details = {**told.plain(), "threshold": threshold}
        trace.add("answer", text=said, **details)
        self._keep(trace.plain())
        counted = trace.totals["prompt_tokens"], trace.totals["answer_tokens"]
        yield Piece("", Answer(said, (), (), _finish(trace), details=details, counted=counted))


def _bounded(texts: Iterator[str], most_tokens: int, trace: Trace) -> Iterator[str]:
    """Sentences as they stand are cut off too where a request bounds an answer: about so many tokens."""
    left = most_tokens
    for text in texts:
        tokens = about_tokens(text)
        if tokens > left:
            trace.add("cut", finish="length", most_tokens=most_tokens)
            yield cut(text, left, about_tokens)
            return
        left -= tokens
        yield text


def _finish(trace: Trace) -> Finish:
    said = [step.get("finish") for step in trace.steps if step["step"] in ("generate", "cut")]
    return "length" if said[-1:] == ["length"] else "stop"


def _never() -> bool:
    return False


def _until_stop(said: str, text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Give what may be said of a text before a stop string, and whether there was one."""
    whole = said + text
    places = [place for stop in stops if (place := whole.find(stop, max(0, len(said) - len(stop)))) >= 0]
    return (whole[len(said) : max(len(said), min(places))], True) if places else (text, False)


def _read(prompt: Prompt) -> tuple[str, tuple[Message, ...], str]:
    """Give a prompt's system text, the turns before the question, and the question."""
    if isinstance(prompt, str):
        return "", (), prompt
    if isinstance(prompt, Conversation):
        if prompt.tools:
            raise DataError(
                "the request offers tools, and a knowledge base calls none",
                where="request body, key tools",
                mend="leave tools out, or ask an agent that has this knowledge base as a tool",
            )
        prompt = prompt.messages
    turns = [turn for turn in prompt if isinstance(turn, Message)]
    if len(turns) != len(prompt) or not turns or turns[-1].role != "user":
        raise DataError(
            "a knowledge base answers questions, this prompt does not end with one",
            where="the prompt",
            mend="send a text, or messages whose last one is of the role user",
        )
    system = "\n".join(turn.content for turn in turns if turn.role == "system")
    return system, tuple(turn for turn in turns[:-1] if turn.role != "system"), turns[-1].content
