"""Turns as a file has them to messages as a chat template takes them: roles, order and texts checked."""

from collections.abc import Sequence
from typing import Any

from luthier.artifact.example import Message, Role
from luthier.prepare.fault import Fault
from luthier.prepare.forms import Turn

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
"""A role's name in the file -> ours."""
TOOL_ROLES = ("tool", "function", "function_call", "observation", "tool_call", "tool_response")


def messages_of(turns: Sequence[Turn], system: Any, place: str) -> tuple[Message, ...] | Fault:
    """Give the messages of a conversation that begins with the user (or a system prompt) and ends with an answer.

    `system` is put before turns that begin without one. Whatever else comes is a Fault that names its turn.
    """
    if text_of(system) != "" and not (turns and ROLES.get(str(turns[0][0])) == "system"):
        turns = [("system", system), *turns]
    messages: list[Message] = []
    for number, (name, content) in enumerate(turns, 1):
        message = _message(name, content, f"turn {number} of {len(turns)}", number == len(turns), place)
        if isinstance(message, Fault):
            return message
        messages.append(message)
    return _order_fault(messages, place) or tuple(messages)


def _message(name: Any, content: Any, which: str, is_last: bool, place: str) -> Message | Fault:
    if name in TOOL_ROLES:
        return Fault("tool turn", f"{which} is of a tool ({name!r})", place, "leave out conversations that call tools")
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        known = ", ".join(ROLES)
        return Fault("unknown role", f"{which} has the role {name!r:.60}", place, f"call it one of {known}")
    text = text_of(content)
    if text is None:
        return Fault("not text", f"{which} is {content!r:.60}, not text", place, "write the turn as one text")
    if not is_whole(text):
        return Fault("not text", f"{which} has half a surrogate pair", place, "write the character as one \\u pair")
    if not text.strip():
        if role == "assistant" and is_last:
            return Fault("no answer", "the answer is empty", place, "fill it in")
        return Fault("empty turn", f"{which} ({role}) is empty", place, "fill it in")
    return Message(role, text)


def _order_fault(messages: Sequence[Message], place: str) -> Fault | None:
    """After an optional system prompt: user, assistant, user, assistant ... and an answer at the end."""
    body = messages[1:] if messages and messages[0].role == "system" else messages
    if not body:
        return Fault("no turns", "the conversation has no turns", place, "give it a question and an answer")
    for number, message in enumerate(body):
        expected = ("user", "assistant")[number % 2]
        if message.role != expected:
            turn = number + 1 + len(messages) - len(body)
            what = f"turn {turn} is of the {message.role}, not the {expected}"
            return Fault("roles out of order", what, place, "let user and assistant take turns, the user first")
    if body[-1].role == "user":
        return Fault("ends with the user", "the conversation ends with the user", place, "add the answer to learn")
    return None


def text_of(value: Any) -> str | None:
    """Give a value as text: numbers too, nothing as '', a list of text parts joined; None for anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and value:
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    return None


def is_whole(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: JSON lets halves of surrogate pairs through."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
