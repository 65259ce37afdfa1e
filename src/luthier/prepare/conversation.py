"""Turns as a file has them to messages as a chat template takes them: in their order, none of them empty."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from luthier.artifact.example import Message
from luthier.prepare.fault import BadRow
from luthier.prepare.tools import Tool, check_calls
from luthier.prepare.turns import is_call, message_of
from luthier.prepare.values import wanted_text

Turn = dict[str, Any]
"""A turn as the file has it, not yet checked."""


def turn(role: str, content: Any) -> Turn:
    """Write a turn."""
    return {"role": role, "content": content}


def messages_of(
    turns: Sequence[Any], system: Any = None, tools: Sequence[Tool] = (), last: Literal["answer", "question"] = "answer"
) -> tuple[Message, ...]:
    """Give the messages of a conversation that begins with the user (or a system prompt).

    It ends with an answer, or, where `last` says so, with what is to be answered. `system` is put before turns that
    begin without one. Raises BadRow, which names the turn, for whatever else comes.
    """
    messages: list[Message] = []
    for number, one in enumerate(turns, 1):
        message = message_of(one, f"turn {number} of {len(turns)}")
        before = messages[-1] if messages else None
        if before and before.role == "assistant" and is_call(one) and not message.content:
            messages[-1] = replace(before, calls=before.calls + message.calls)  # said and called in one breath
        elif message.role != "system" or messages or message.content.strip():
            messages.append(message)
    prompt = wanted_text(system, "the system prompt")
    if prompt and not (messages and messages[0].role == "system"):
        messages.insert(0, Message("system", prompt))
    _check_filled(messages)
    _check_order(messages, last)
    if any(message.calls or message.role == "tool" for message in messages):
        check_calls(messages, tools)
    return tuple(messages)


def _check_filled(messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages, 1):
        if message.content.strip() or message.calls or message.role == "tool":
            continue
        if message.role == "assistant" and number == len(messages):
            raise BadRow("no answer", "the answer is empty", "fill it in")
        raise BadRow("empty turn", f"turn {number} of {len(messages)} ({message.role}) is empty", "fill it in")


def _check_order(messages: Sequence[Message], last: Literal["answer", "question"]) -> None:
    """After an optional system prompt: user, assistant, user ... and tools where they were called."""
    begin = 1 if messages and messages[0].role == "system" else 0
    if len(messages) == begin:
        raise BadRow("no turns", "the conversation has no turns", "give it a question and an answer")
    expected: tuple[str, ...] = ("user",)
    for number, message in enumerate(messages[begin:], begin + 1):
        if message.role not in expected:
            what = f"turn {number} is of the {message.role}, not the {' or the '.join(expected)}"
            mend = "let user and assistant take turns, the user first, and a tool's result follow its call"
            raise BadRow("roles out of order", what, mend)
        expected = _after(message)
    role = messages[-1].role
    if last == "answer" and role != "assistant":
        who = "the user" if role == "user" else "a tool's result"
        raise BadRow(f"ends with {who}", f"the conversation ends with {who}", "add the answer to learn")
    if last == "question" and role == "assistant":
        raise BadRow("roles out of order", "the prompt ends with an answer", "end it with what is to be answered")


def _after(message: Message) -> tuple[str, ...]:
    if message.role == "user":
        return ("assistant",)
    if message.role == "tool":
        return ("assistant", "tool")
    return ("tool",) if message.calls else ("user",)
