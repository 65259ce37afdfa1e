"""The messages and tools of a chat request."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from pydantic_core import from_json

from luthier.artifact.example import Message, Role, ToolCall
from luthier.serve.refusal import RefusedError
from luthier.spec import Spec

TURN_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "annotations": (None, []),
    "audio": (None,),
    "function_call": (None,),
    "refusal": (None,),
}
"""What the client library writes into a message it was answered with; none of it is text."""

ROLE_OF: Mapping[str, Role] = {
    "reasoning_content": "assistant",
    "tool_calls": "assistant",
    "tool_call_id": "tool",
}
"""Which role a key belongs to; in another's turn the template would drop it."""

TEXT_PARTS = ("text", "input_text", "output_text")
"""The types of parts that hold text, in chats and in the newer responses."""

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]


class Part(Spec):
    """One part of a message's content."""

    type: Literal["text", "input_text", "output_text"]
    """Only text is understood."""
    text: Text


class Called(Spec):
    """Which tool is called, and with what."""

    name: Annotated[Text, Field(min_length=1)]
    arguments: Text | dict[str, Any] = "{}"
    """A JSON object, as a text or as it is."""


class Call(Spec):
    """A call the assistant made."""

    id: Text = ""
    type: Literal["function"] = "function"
    index: Int | None = None
    """What streams number calls by: left alone."""
    function: Called

    def read(self, where: str) -> ToolCall:
        """Give it as the chat template takes it. Raises RefusedError if its arguments are no JSON object."""
        found = read_arguments(self.function.name, self.function.arguments, f"{where}.function.arguments")
        return ToolCall(self.function.name, found, self.id)


class Described(Spec):
    """What a tool does and takes, as its writer describes it to the model."""

    name: Annotated[Text, Field(min_length=1)]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Bool | None = None


class Tool(Spec):
    """A tool the model may call."""

    type: Literal["function"]
    function: Described


class Turn(Spec):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """`developer` is the newer word for `system`."""
    content: Text | list[Part]
    """A text, or parts whose texts are joined."""
    reasoning_content: Text | None = None
    """Not OpenAI's: what the assistant thought before it answered."""
    tool_calls: list[Call] | None = None
    """The tools it called."""
    tool_call_id: Text | None = None
    """The call whose result this is."""
    name: Text | None = None
    """The tool whose result this is; of anybody else it is taken and left alone."""

    def message(self, place: int) -> Message:
        """Give it as the chat template takes it."""
        role: Role = "system" if self.role == "developer" else self.role
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        key = f"request body, key messages.{place}"
        self._check_role(key)
        calls = tuple(call.read(f"{key}.tool_calls.{index}") for index, call in enumerate(self.tool_calls or ()))
        name = self.name if role == "tool" else None  # no chat template shows another's
        return Message(role, content, self.reasoning_content or "", calls, name or "", self.tool_call_id or "")

    def _check_role(self, key: str) -> None:
        for name, role in ROLE_OF.items():
            if getattr(self, name) and self.role != role:
                raise RefusedError(
                    f"{name} is set in a turn of the role {self.role!r}",
                    where=f"{key}.{name}",
                    mend=f"leave {name} out, or send it in a turn of the role {role!r}",
                    code="unsupported_parameter",
                )


def sift_turn(turn: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Drop what asks for nothing from a message; refuse by name what cannot be read."""
    content = turn.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str):
            check_part(kind, f"{prefix}content.{index}")
    kept = without_neutral(turn, TURN_NEUTRAL, prefix)
    is_call = kept.get("role") == "assistant" and bool(kept.get("tool_calls"))
    return kept | {"content": ""} if is_call and content is None else kept


def check_part(kind: Any, place: str) -> None:
    """Raise RefusedError for a part of a content that is no text."""
    if kind not in TEXT_PARTS:
        raise RefusedError(
            f"{place} is of the type {kind!r}",
            where=f"request body, key {place}.type",
            mend="send parts of the type 'text': this engine reads nothing else",
            code="unsupported_parameter",
        )


def read_arguments(name: str, arguments: Any, where: str) -> dict[str, Any]:
    """Give a call's arguments, a JSON object or one written as a text. Raises RefusedError for anything else."""
    try:
        found = from_json(arguments or "{}") if isinstance(arguments, str) else arguments
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError(
            f"the arguments of {name} are {arguments!r:.60}", where=where, mend="send a JSON object, written as a text"
        )
    return found


def without_neutral(data: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]], prefix: str) -> dict[str, Any]:
    """Drop what asks for nothing. Raises RefusedError for a key with any other value."""
    for key, values in neutral.items():
        if key in data and not any(_is_same(data[key], value) for value in values):
            raise RefusedError(
                f"{prefix}{key} is not supported",
                where=f"request body, key {prefix}{key}",
                mend=f"leave {key} out, or send one of: {', '.join(map(json.dumps, values))}",
                code="unsupported_parameter",
            )
    return {key: value for key, value in data.items() if key not in neutral}


def _is_same(sent: Any, value: Any) -> bool:
    """Whether two JSON values are the same; to Python `False` is 0, to a client it is not."""
    return bool(sent == value) and isinstance(sent, bool) == isinstance(value, bool)
