"""Which characters of a written conversation are learned: told by the template, never by the pad id.

A template with `{% generation %}` marks says it itself. Of any other, prefixes are written: what stands before an
answer, with the assistant's turn opened, is what the server will feed; what follows it, up to the turn's end, is what
the model must learn to say. Both must be beginnings of the whole text, letter by letter, or nothing is learned.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.artifact.example import Conversation, Message
from luthier.errors import DataError
from luthier.model.jinja import Form, Writer, forms_of

TrainOn = Literal["all", "last"]
"""Which assistant turns are learned."""
Reasoning = Literal["learn", "mask"]
"""Whether what the assistant thinks before its answer is learned too."""
SENTINEL = "uqxthecontentqxu"
"""Stands for an answer where only what a template writes before it is of interest."""
INLINE = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
"""Thinking at the beginning of an answer's own text, as reasoning models' outputs are often saved."""


class Rewritten(DataError):  # noqa: N818 (a fault of no row), and two levels deep: who catches bad rows catches it
    """The template writes a turn otherwise once others follow it: each answer needs an example of its own."""


@dataclass(frozen=True)
class Span:
    """Characters that are learned, from `begin` to `end`; those before `answer` are the thinking that is not."""

    begin: int
    end: int
    weight: float
    answer: int
    is_prefix: bool
    """Whether the text up to `begin` must be, token by token, what the server feeds."""


@dataclass(frozen=True)
class Written:
    """A conversation's text, and what is learned of it, in its order."""

    text: str
    spans: tuple[Span, ...]


def learned_turns(messages: Sequence[Message], train_on: TrainOn) -> list[tuple[int, float]]:
    """Give the turns that are learned and how much each counts. A turn's own weight comes before `train_on`."""
    turns = [index for index, message in enumerate(messages) if message.role == "assistant"]
    taken = set(turns[-1:] if train_on == "last" else turns)
    weights = {index: messages[index].weight for index in turns}
    counts = [(index, float(index in taken) if (own := weights[index]) is None else own) for index in turns]
    return [(index, weight) for index, weight in counts if weight > 0]


def answers_apart(messages: Sequence[Message], train_on: TrainOn = "all") -> list[tuple[Message, ...]]:
    """Give one conversation for each learned answer: it ends there, and the answers before it are not learned."""
    return [
        (*(_unlearned(message) for message in messages[:index]), messages[index])
        for index, _ in learned_turns(messages, train_on)
    ]


def _unlearned(message: Message) -> Message:
    if message.role != "assistant":
        return message
    return Message(message.role, message.content, message.reasoning, message.calls, message.name, message.call_id, 0.0)


class Marker:
    """Finds what is learned in the conversations of one template."""

    def __init__(self, writer: Writer, folder: Path) -> None:
        self._writer = writer
        self._where = str(folder)

    def write(self, talk: Conversation, train_on: TrainOn, reasoning: Reasoning) -> Written:
        """Write a conversation and find its spans.

        Raises Rewritten where an answer reads otherwise once others follow, DataError where the template refuses the
        conversation, has no place for something in it, or where the thinking cannot be told from the answer.
        """
        forms, tools = forms_of(talk.messages), [dict(tool) for tool in talk.tools]
        turns = learned_turns(talk.messages, train_on)
        if self._writer.marks_answers:
            text, spans = self._marked(talk.messages, forms, tools, turns)
        else:
            text = self._writer.text(forms, tools, opened=False)
            spans = [self._prefixed(text, forms, tools, *turn) for turn in turns]
        self._check_tools(text, tools)
        if not any(message.reasoning or message.calls for message in talk.messages) and reasoning == "learn":
            return Written(text, tuple(spans))
        if len(spans) == len(turns):
            for span, (index, _) in zip(spans, turns, strict=True):
                self._check_answer(text[span.begin : span.end], talk.messages[index], reasoning)
        if reasoning == "mask":
            spans = self._without_thinking(text, talk.messages, forms, tools, spans, turns)
        return Written(text, tuple(spans))

    def _prefixed(self, text: str, forms: list[Form], tools: list[Form], index: int, weight: float) -> Span:
        if index == 0:
            raise DataError(
                "the conversation begins with the assistant's turn: nothing asks for it",
                where=self._where,
                mend="leave the first turn out, give it weight 0, or set train_on=last",
            )
        before = self._writer.text(forms[:index], tools, opened=True)
        is_last = index == len(forms) - 1
        after = text if is_last else self._writer.text(forms[: index + 1], tools, opened=False)
        if not after.startswith(before):
            raise DataError(
                "the chat template opens an answer otherwise than it writes it: where it begins cannot be told",
                where=self._where,
                mend="mark the answers in the template with {% generation %}, or take another template",
            )
        if not text.startswith(after):
            raise Rewritten(
                f"the chat template writes turn {index + 1} of {len(forms)} otherwise when others follow it",
                where=self._where,
                mend="mark the answers in the template with {% generation %}, or set train_on=last or rewritten=expand",
            )
        return Span(len(before), len(after), weight, len(before), is_prefix=True)

    def _marked(
        self, messages: Sequence[Message], forms: list[Form], tools: list[Form], turns: Sequence[tuple[int, float]]
    ) -> tuple[str, list[Span]]:
        text, ranges = self._writer.marked(forms, tools)
        speaking = [index for index, message in enumerate(messages) if message.role == "assistant"]
        if len(ranges) == len(speaking):
            by_turn = dict(zip(speaking, ranges, strict=True))
            return text, [Span(*by_turn[index], weight, by_turn[index][0], is_prefix=False) for index, weight in turns]
        if ranges and turns == [(index, 1.0) for index in speaking]:
            return text, [Span(begin, end, 1.0, begin, is_prefix=False) for begin, end in ranges]
        raise DataError(
            f"the template marks {len(ranges)} answers, the conversation has {len(speaking)}",
            where=self._where,
            mend="set train_on=all without weights of turns, or mark each answer once with {% generation %}",
        )

    def check_prompt(self, text: str, messages: Sequence[Message], tools: Sequence[Form]) -> None:
        """Raise DataError if the template has dropped a tool, or a call of one, from a prompt."""
        self._check_tools(text, tools)
        for message in messages:
            self._check_calls(text, message)

    def _check_tools(self, text: str, tools: Sequence[Form]) -> None:
        for tool in tools:
            name = str(tool.get("function", tool).get("name", ""))
            if name not in text:
                raise self._no_place(f"the tool {name!r}")

    def _check_answer(self, answer: str, message: Message, reasoning: Reasoning) -> None:
        self._check_calls(answer, message)
        if reasoning == "learn" and message.reasoning.strip() not in answer:
            raise self._no_place(f"what is thought before an answer ({message.reasoning.strip()[:40]!r} ...)")

    def _check_calls(self, text: str, message: Message) -> None:
        for call in message.calls:
            if call.name not in text:
                raise self._no_place(f"a call of the tool {call.name!r}")

    def _no_place(self, what: str) -> DataError:
        return DataError(
            f"the chat template has no place for {what}",
            where=self._where,
            mend="fetch the model with a template that has (template=qwen3), or leave it out",
        )

    def _without_thinking(
        self,
        text: str,
        messages: Sequence[Message],
        forms: list[Form],
        tools: list[Form],
        spans: Sequence[Span],
        turns: Sequence[tuple[int, float]],
    ) -> list[Span]:
        if len(spans) != len(turns):
            raise self._unsure("its marks are not one for each answer")
        found = []
        for span, (index, _) in zip(spans, turns, strict=True):
            answer = text[span.begin : span.end]
            inline = INLINE.match(messages[index].content)
            if inline:
                head = _up_to_answer(answer, inline[1].strip(), messages[index].content[inline.end() :])
            else:
                head = self._head(forms[:index], forms[index], tools, span)
            thought = messages[index].reasoning.strip()
            if head is None or not answer.startswith(head):
                raise self._unsure("it writes the thinking otherwise when the answer is another")
            if thought in answer[len(head) :] and thought not in head:
                raise self._unsure("it does not write the thinking before the answer")
            found.append(Span(span.begin, span.end, span.weight, span.begin + len(head), span.is_prefix))
        return found

    def _head(self, before: list[Form], form: Mapping[str, Any], tools: list[Form], span: Span) -> str | None:
        """Give what the template writes of a turn before its content, or None where it does not write the content."""
        probe = {**{key: value for key, value in form.items() if key != "tool_calls"}, "content": SENTINEL}
        if self._writer.marks_answers:
            text, ranges = self._writer.marked([*before, probe], tools)
            begin, end = ranges[-1] if ranges else (0, 0)
            text = text[begin:end]
        else:
            text = self._writer.text([*before, probe], tools, opened=False)[span.begin :]
        head, found, _ = text.partition(SENTINEL)
        return head if found else None

    def _unsure(self, why: str) -> DataError:
        return DataError(
            f"the template's thinking part cannot be told for sure: {why}",
            where=self._where,
            mend="set reasoning=learn, or put what is thought into the rows' own `reasoning` field",
        )


def _up_to_answer(answer: str, thought: str, content: str) -> str | None:
    """Give what is written up to the end of the thinking, or None where the rest of the content does not follow it."""
    begin = answer.find(thought)
    closed = answer.find("</think>", begin) if begin >= 0 else -1
    rest = answer[closed + len("</think>") :].lstrip()
    return answer.removesuffix(rest) if closed >= 0 and rest.startswith(content.rstrip()) else None
