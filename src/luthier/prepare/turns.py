"""One turn as a file has it to a message as a chat template takes it: its role, texts, calls and weight checked."""

from typing import Any

from luthier.artifact.example import Message, Role
from luthier.prepare.fault import BadRow
from luthier.prepare.tools import calls_of
from luthier.prepare.values import canonical, text_of, unpacked, wanted_text, weight_of

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "ipython": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
"""A role's name in the file -> ours."""
CALLS = ("function_call", "tool_call")
"""Roles whose whole text is a call."""
REASONING = ("reasoning_content", "reasoning", "thinking")


def message_of(turn: Any, which: str) -> Message:
    """Make a message of a turn in either way to write one, `role` and `content` or `from` and `value`.

    Raises BadRow for a role that is not known, a content that is no text, a call or a weight that is none.
    """
    if not isinstance(turn, dict):
        what = f"{which} is {turn!r:.60}, not an object"
        raise BadRow("not of the form", what, 'write it as {"role": ..., "content": ...}')
    role = role_of(turn, which)
    content = turn.get("content")
    if content is None:
        content = turn.get("value")
    if role == "assistant":
        return _answer(turn, content, which)
    if role == "tool":
        result = content if text_of(content) is not None else canonical(content, which)
        name, call_id = (wanted_text(turn.get(key), f"{key} of {which}") for key in ("name", "tool_call_id"))
        return Message("tool", wanted_text(result, which), name=name, call_id=call_id)
    return Message(role, wanted_text(content, which))


def role_of(turn: dict[str, Any], which: str) -> Role:
    """Give a turn's role. Raises BadRow for a name that is not known."""
    name = turn.get("role") or turn.get("from")
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise BadRow("unknown role", f"{which} has the role {name!r:.60}", f"call it one of {', '.join(ROLES)}")
    return role


def is_call(turn: Any) -> bool:
    """Tell whether a turn is a call and nothing else, as ShareGPT's files write it."""
    return isinstance(turn, dict) and (turn.get("role") or turn.get("from")) in CALLS


def _answer(turn: dict[str, Any], content: Any, which: str) -> Message:
    weight = weight_of(turn.get("weight"), f"the weight of {which}")
    if is_call(turn):
        return Message("assistant", "", calls=calls_of(content, which), weight=weight)
    asked = unpacked(turn.get("tool_calls")) or turn.get("function_call")
    calls = calls_of(asked, which) if asked else ()
    thought = next((turn[name] for name in REASONING if turn.get(name)), "")
    reasoning = wanted_text(thought, f"the reasoning of {which}")
    return Message("assistant", wanted_text(content, which), reasoning, calls, weight=weight)
