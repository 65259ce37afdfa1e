"""The texts of a row, each with the name of its place: `turn 3 (assistant)`, `rejected`, `text 2`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from luthier.artifact.example import Example, Message, ToolCall

Rewrite = Callable[[str, str], str]
"""Takes the place and the text there, gives the text that shall be there."""
NUMBER = " (number)"
"""How the place of a number ends that is offered as text."""
_LONG_NUMBER = 10**9
"""Numbers in a tool's arguments from here on are offered as text: a telephone number may be written as one."""


@dataclass(frozen=True)
class Place:
    """A text and where it stands in its row."""

    where: str
    text: str


def texts(example: Example) -> list[Place]:
    """Give every text of a row that is not empty: turns, reasoning, tool arguments, the rejected answer, plain texts.

    Not among them: tools' descriptions, names, labels, tags and groups.
    """
    found: list[Place] = []

    def note(where: str, text: str) -> str:
        found.append(Place(where, text))
        return text

    rewritten(example, note)
    return found


def without_system(example: Example) -> list[Place]:
    """Give the texts but for system prompts, which the rows of a set have in common."""
    return [place for place in texts(example) if not place.where.endswith("(system)")]


def rewritten(example: Example, rewrite: Rewrite, *, are_empty_offered: bool = False) -> Example:
    """Give the row with each of its texts rewritten; the same object if no text changed.

    A number of ten digits or more among a tool's arguments is offered as text, and stays a number unless rewritten.
    """
    given = rewrite if are_empty_offered else _unless_empty(rewrite)
    if example.texts:
        new = tuple(given(f"text {number}", text) for number, text in enumerate(example.texts, 1))
        return example if new == example.texts else replace(example, texts=new)
    messages = tuple(
        _message(message, f"turn {number} ({message.role})", given)
        for number, message in enumerate(example.messages, 1)
    )
    rejected = None if example.rejected is None else _message(example.rejected, "rejected", given)
    if rejected is example.rejected and all(a is b for a, b in zip(messages, example.messages, strict=True)):
        return example
    return replace(example, messages=messages, rejected=rejected)


def _unless_empty(rewrite: Rewrite) -> Rewrite:
    return lambda where, text: rewrite(where, text) if text else text


def _message(message: Message, where: str, rewrite: Rewrite) -> Message:
    content = rewrite(where, message.content)
    reasoning = rewrite(f"{where} reasoning", message.reasoning)
    calls = message.calls
    if calls:
        new = tuple(_call(call, f"{where} call {number}", rewrite) for number, call in enumerate(calls, 1))
        calls = calls if all(a is b for a, b in zip(new, calls, strict=True)) else new
    if content == message.content and reasoning == message.reasoning and calls is message.calls:
        return message
    return replace(message, content=content, reasoning=reasoning, calls=calls)


def _call(call: ToolCall, where: str, rewrite: Rewrite) -> ToolCall:
    arguments = _json(call.arguments, where, rewrite)
    return call if arguments is call.arguments else replace(call, arguments=arguments)


def _json(value: Any, where: str, rewrite: Rewrite) -> Any:
    """Rewrite the texts among JSON values; keys stay. The same object comes back if nothing changed."""
    if isinstance(value, str):
        return _unless_same(value, rewrite(where, value))
    if isinstance(value, Mapping):
        pairs = {key: _json(item, f"{where}.{key}", rewrite) for key, item in value.items()}
        return value if all(pairs[key] is value[key] for key in value) else pairs
    if isinstance(value, list | tuple):
        items = [_json(item, f"{where}[{number}]", rewrite) for number, item in enumerate(value)]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        text = rewrite(f"{where}{NUMBER}", str(value))
        return value if text == str(value) else text
    return value


def _unless_same(old: str, new: str) -> str:
    return old if new == old else new
