"""/v1/responses: what may be asked of it. It is stateless: nothing is remembered from one request to the next."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from luthier.artifact.example import Conversation, Message, ToolCall
from luthier.engine.ports import Sampling
from luthier.serve.refusal import RefusedError
from luthier.serve.request import (
    AnySchema,
    Asked,
    Count,
    Penalty,
    Temperature,
    TopP,
    build_known,
    check_count,
    read_body,
    schema_text,
    sift,
)
from luthier.serve.tools import NamedFunction, NamedTool, read_choice
from luthier.serve.turn import Bool, Described, Int, Text, Tool, check_part, read_arguments
from luthier.spec import Spec

LACKED: Mapping[str, tuple[Any, ...]] = {
    "background": (None, False),
    "conversation": (None,),
    "include": (None, []),
    "max_tool_calls": (None,),
    "previous_response_id": (None,),
    "prompt": (None,),
    "reasoning": (None, {}),
    "stream_options": (None, {}),
    "truncation": (None, "disabled"),
}
"""What no engine here has, or what would have to be remembered, with the values that ask for nothing."""


class TextFormat(Spec):
    """What form the answer must have."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Text = ""
    description: Text | None = None
    schema_: Annotated[AnySchema | None, Field(alias="schema")] = None
    strict: Bool | None = None


class TextOptions(Spec):
    """How the text is written."""

    format: TextFormat = TextFormat()


class FunctionTool(Spec):
    """A tool the model may call."""

    type: Literal["function"]
    name: Annotated[Text, Field(min_length=1)]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Bool | None = None

    def tool(self) -> Tool:
        """Give it as chats have it."""
        described = Described(
            name=self.name, description=self.description, parameters=self.parameters, strict=self.strict
        )
        return Tool(type="function", function=described)


class NamedFunctionTool(Spec):
    """The one tool that must be called."""

    type: Literal["function"]
    name: Text


class ResponsesRequest(Spec):
    """The body of /v1/responses."""

    model: Text
    input: Text | Annotated[list[dict[str, Any]], Field(min_length=1)]
    """A text, or the items of a conversation."""
    instructions: Text | None = None
    """What the system says."""
    max_output_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[Int, Field(ge=0, le=20)] | None = None
    stream: Bool | None = None
    text: TextOptions | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunctionTool | None = None
    parallel_tool_calls: Bool | None = None


def read_responses(body: bytes, max_tokens: int | None, most_messages: int = 2048) -> tuple[Asked, ResponsesRequest]:
    """Read a request. Raises RefusedError or SpecError, both of which name the parameter."""
    request, ignored = build_known(ResponsesRequest, sift(read_body(body), LACKED))
    messages = [Message("system", request.instructions)] if request.instructions else []
    if isinstance(request.input, str):
        messages.append(Message("user", request.input))
    else:
        check_count(request.input, most_messages, "input")
        messages += [_message(item, f"input.{place}") for place, item in enumerate(request.input)]
    tools = [tool.tool() for tool in request.tools or ()]
    choice = request.tool_choice
    named = (
        NamedTool(type="function", function=NamedFunction(name=choice.name))
        if isinstance(choice, NamedFunctionTool)
        else choice
    )
    calls = read_choice(named, tools)
    shown = tuple(tool.model_dump(exclude_none=True) for tool in tools)
    prompt = Conversation(tuple(messages), shown) if shown else tuple(messages)
    schema = calls.schema if calls and calls.schema else _schema(request.text)
    sampling = Sampling(
        max_tokens=request.max_output_tokens or max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        top_logprobs=request.top_logprobs or None,
        json_schema=schema,
    )
    names = {
        "json_schema": "tool_choice" if calls and calls.schema else "text.format",
        "max_tokens": "max_output_tokens",
        "top_logprobs": "top_logprobs",
    }
    asked = Asked(
        request.model,
        (prompt,),
        sampling,
        is_stream=bool(request.stream),
        tools=calls,
        names=names,
        ignored=tuple(ignored),
    )
    return asked, request


def _schema(text: TextOptions | None) -> str | None:
    form = text.format if text else None
    mend = 'send {"type": "json_schema", "name": ..., "schema": {...}}'
    return schema_text(form.type, form.schema_, "text.format", "schema", mend) if form else None


def _message(item: Mapping[str, Any], place: str) -> Message:
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "message":
        return _spoken(item, place)
    if kind == "function_call":
        return Message("assistant", "", calls=(_call(item, place),))
    if kind == "function_call_output":
        output = item.get("output")
        text = output if isinstance(output, str) else _text(output, f"{place}.output")
        return Message("tool", text, call_id=_string(item, "call_id", place))
    raise RefusedError(
        f"{place} is of the type {kind!r}",
        where=f"request body, key {place}.type",
        mend="send items of the types message, function_call and function_call_output: nothing else is read here",
        code="unsupported_parameter",
    )


def _spoken(item: Mapping[str, Any], place: str) -> Message:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise RefusedError(
            f"{place}.role is {role!r}",
            where=f"request body, key {place}.role",
            mend="send one of: user, assistant, system, developer",
        )
    content = item.get("content")
    text = content if isinstance(content, str) else _text(content, f"{place}.content")
    return Message("system" if role == "developer" else role, text)


def _text(parts: Any, place: str) -> str:
    if not isinstance(parts, list):
        raise RefusedError(f"{place} is {parts!r:.60}", where=f"request body, key {place}", mend="send a text")
    words = []
    for number, part in enumerate(parts):
        check_part(part.get("type") if isinstance(part, dict) else None, f"{place}.{number}")
        words.append(_string(part, "text", f"{place}.{number}"))
    return "".join(words)


def _call(item: Mapping[str, Any], place: str) -> ToolCall:
    name = _string(item, "name", place)
    found = read_arguments(name, item.get("arguments"), f"request body, key {place}.arguments")
    return ToolCall(name, found, _string(item, "call_id", place))


def _string(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise RefusedError(
            f"{place}.{name} is {value!r:.60}", where=f"request body, key {place}.{name}", mend=f"send {name} as a text"
        )
    return value
