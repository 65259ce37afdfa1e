"""Tools in an answer: which call it must be, and which calls a model wrote into its text."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from luthier.artifact.example import ToolCall
from luthier.engine.written_calls import MARKS, UnreadableCall, split_calls
from luthier.serve.refusal import RefusedError
from luthier.serve.turn import Text, Tool
from luthier.spec import Spec


class NamedFunction(Spec):
    """A tool's name."""

    name: Text


class NamedTool(Spec):
    """The one tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


BARE = ("{", "[")
"""What an answer begins with that may be calls as bare JSON."""

ToolChoice = Literal["none", "auto", "required"] | NamedTool


@dataclass(frozen=True)
class Calls:
    """Which calls are read out of an answer."""

    names: frozenset[str]
    """The tools that may be called."""
    schema: str | None = None
    """The JSON Schema the answer is held to where it must be a call."""

    def read(self, text: str) -> tuple[str, list[ToolCall]]:
        """Give the text without its calls, and the calls. What calls no known tool stays text."""
        at = min((text.find(mark) for mark in MARKS if mark in text), default=0)
        if not text[at:].lstrip().startswith((*MARKS, *BARE)):
            return text, []
        try:
            found, _ = split_calls(text[at:], self.names)
        except UnreadableCall:
            return text, []
        known = [call for call in found if call.name in self.names]
        calls = [replace(call, id=call.id or f"call_{uuid.uuid4().hex[:24]}") for call in known]
        return (text[:at].rstrip(), calls) if calls else (text, [])


def read_choice(choice: Literal["none", "auto", "required"] | NamedTool | None, tools: Sequence[Tool]) -> Calls | None:
    """Give what is read out of the answer; None where it is text whatever it says.

    Raises RefusedError if a call is demanded that cannot be made.
    """
    names = [tool.function.name for tool in tools]
    if isinstance(choice, NamedTool):
        if choice.function.name not in names:
            raise RefusedError(
                f"tool_choice demands {choice.function.name!r}, which is not among the tools",
                where="request body, key tool_choice",
                mend=f"name one of: {', '.join(names) or '(send tools)'}",
            )
        names = [choice.function.name]
        return Calls(frozenset(names), _schema(tools, names))
    if choice == "required":
        if not names:
            raise RefusedError(
                "tool_choice demands a call, and there are no tools",
                where="request body, key tool_choice",
                mend="send tools, or leave tool_choice out",
            )
        return Calls(frozenset(names), _schema(tools, names))
    return Calls(frozenset(names)) if names and choice != "none" else None


def _schema(tools: Sequence[Tool], names: Sequence[str]) -> str:
    """Give the JSON Schema of one call of one of the tools."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.function.name}, "arguments": tool.function.parameters or EMPTY},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
        if tool.function.name in names
    ]
    return json.dumps(calls[0] if len(calls) == 1 else {"anyOf": calls}, ensure_ascii=False)


EMPTY = {"type": "object", "properties": {}, "additionalProperties": False}
"""What a tool takes that describes no parameters: nothing."""


class Withheld:
    """Lets a streamed text through as long as it cannot be a call; holds back the rest until the end."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._held = ""
        self._said = ""

    def hear(self, text: str) -> str:
        """Take fresh text; gives what is certainly no call."""
        self._held += text
        if self._calls.schema is not None:
            return ""
        if not self._said and self._held.lstrip()[:1] in ("", *BARE):
            return ""
        marks = [place for place in (self._held.find(mark) for mark in MARKS) if place >= 0]
        cut = min(marks) if marks else len(self._held) - self._begun()
        said, self._held = self._held[:cut], self._held[cut:]
        self._said += said
        return said

    def _begun(self) -> int:
        """How much of the end of the held text may be the beginning of a mark."""
        longest = max(map(len, MARKS)) - 1
        lengths = range(min(longest, len(self._held)), 0, -1)
        return next((n for n in lengths if any(mark.startswith(self._held[-n:]) for mark in MARKS)), 0)

    def end(self) -> tuple[str, list[ToolCall]]:
        """Give the rest of the text, and the calls in it."""
        return self._calls.read(self._held)


def as_openai(calls: Sequence[ToolCall], *, numbered: bool = False) -> list[dict[str, Any]]:
    """Give calls in the API's form; arguments travel as JSON in a text. In streams they are numbered."""
    return [
        {
            **({"index": place} if numbered else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for place, call in enumerate(calls)
    ]
