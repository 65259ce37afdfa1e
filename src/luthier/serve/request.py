"""What a client may ask: the OpenAI requests, closed, so that nothing is ignored in silence."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, Strict
from pydantic_core import from_json

from luthier.artifact.example import Conversation
from luthier.engine.ports import Prompt, Sampling
from luthier.serve.refusal import RefusedError
from luthier.serve.turn import Bool, Int, Text, Tool, Turn, sift_turn, without_neutral
from luthier.spec import Settings, Spec, build

HARMLESS = frozenset({"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"})
"""Parameters that never change an answer: taken and left alone."""

CHAT_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "parallel_tool_calls": (None, True, False),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "none", "auto"),
    "top_logprobs": (None, 0),
    "verbosity": (None,),
    "web_search_options": (None,),
}
"""Parameters no engine has yet, with the values that ask for nothing."""

COMPLETION_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None,),
    "presence_penalty": (None, 0),
    "suffix": (None, ""),
}

Float = Annotated[float, Strict()]
Stop = Annotated[Text, Field(min_length=1)]
Seed = Annotated[Int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[Int, Field(ge=1)]
Choices = Annotated[Int, Field(ge=1, le=16)]
Temperature = Annotated[Float, Field(ge=0, le=2)]
TopP = Annotated[Float, Field(gt=0, le=1)]
TopK = Annotated[Int, Field(ge=0)]
TokenIds = Annotated[list[Int], Field(min_length=1)]


class StreamOptions(Spec):
    """How a stream is sent."""

    include_usage: Bool = False
    """Whether the last chunk before the end counts tokens."""


class ChatRequest(Spec):
    """The body of /v1/chat/completions."""

    model: Text
    messages: Annotated[list[Turn], Field(min_length=1)]
    tools: list[Tool] | None = None
    """Shown to the model as its chat template shows them; a call comes back as the text the model wrote."""
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    """The newer word for max_tokens."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    """Not OpenAI's: only so many of the likeliest tokens; 0: all."""
    stop: Annotated[list[Stop], Field(max_length=16)] | None = None
    """Texts that end the answer; a single one need not stand in a list."""
    seed: Seed | None = None
    n: Choices | None = None
    stream: Bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: Bool | None = None
    """Not OpenAI's: whether the response carries the ids of prompt and answer."""


class CompletionRequest(Spec):
    """The body of /v1/completions."""

    model: Text
    prompt: Text | TokenIds | Annotated[list[Text] | list[TokenIds], Field(min_length=1)]
    """A text, token ids, or a list of either."""
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    stop: Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Seed | None = None
    n: Choices | None = None
    stream: Bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: Bool | None = None


@dataclass(frozen=True)
class Asked:
    """A request, whichever of the two it was, with nothing left open."""

    model: str
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    choices_per_prompt: int
    is_chat: bool
    is_stream: bool
    counts_usage: bool
    returns_ids: bool


AnyRequest = TypeVar("AnyRequest", ChatRequest, CompletionRequest)


def read_chat(body: bytes, max_tokens: int | None) -> Asked:
    """Read a chat request. Raises RefusedError or SpecError, both of which name the parameter."""
    data = _sift(_read(body), ChatRequest, CHAT_NEUTRAL)
    if isinstance(data.get("messages"), list):
        data["messages"] = [
            sift_turn(turn, f"messages.{index}.") if isinstance(turn, dict) else turn
            for index, turn in enumerate(data["messages"])
        ]
    request = build(ChatRequest, Settings(data, {}, "request body"))
    bounds = {request.max_tokens, request.max_completion_tokens} - {None}
    if len(bounds) > 1:
        raise RefusedError(
            f"max_tokens is {request.max_tokens}, max_completion_tokens is {request.max_completion_tokens}",
            where="request body, key max_tokens",
            mend="give one of them: they mean the same",
        )
    turns = tuple(turn.message(index) for index, turn in enumerate(request.messages))
    tools = tuple(data.get("tools") or ())  # as the client wrote them: a template shows their keys in that order
    prompt = Conversation(turns, tools) if tools else turns
    return _asked(request, (prompt,), next(iter(bounds), max_tokens), is_chat=True)


def read_completion(body: bytes, max_tokens: int | None) -> Asked:
    """Read a completion request. Raises RefusedError or SpecError, both of which name the parameter."""
    data = _sift(_read(body), CompletionRequest, COMPLETION_NEUTRAL)
    request = build(CompletionRequest, Settings(data, {}, "request body"))
    return _asked(request, _prompts(request.prompt), request.max_tokens or max_tokens, is_chat=False)


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> tuple[Prompt, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    ids = [part for part in prompt if isinstance(part, int)]
    if ids:
        return (tuple(ids),)
    return tuple(part if isinstance(part, str) else tuple(part) for part in prompt if not isinstance(part, int))


def _asked(
    request: ChatRequest | CompletionRequest, prompts: tuple[Prompt, ...], max_tokens: int | None, *, is_chat: bool
) -> Asked:
    if request.stream_options is not None and not request.stream:
        raise RefusedError(
            "stream_options is set, stream is not",
            where="request body, key stream_options",
            mend="set stream to true, or leave stream_options out",
        )
    stop = tuple(request.stop or ())
    return Asked(
        model=request.model,
        prompts=prompts,
        sampling=Sampling(max_tokens, request.temperature, request.top_p, request.top_k, stop, request.seed),
        choices_per_prompt=request.n or 1,
        is_chat=is_chat,
        is_stream=bool(request.stream),
        counts_usage=request.stream_options is not None and request.stream_options.include_usage,
        returns_ids=bool(request.return_token_ids),
    )


def _read(body: bytes) -> dict[str, Any]:
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RefusedError(
            f"the body is not JSON: {error}", where="request body", mend="send one JSON object, in UTF-8"
        ) from None
    if not isinstance(data, dict):
        raise RefusedError(
            f"the body is a JSON {type(data).__name__}, not an object", where="request body", mend="send {...}"
        )
    return data


def _sift(
    data: dict[str, Any], kind: type[ChatRequest] | type[CompletionRequest], neutral: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """Drop what asks for nothing; refuse by name what is asked for and not to be had."""
    kept = without_neutral(data, neutral, "")
    for key in [key for key in kept if key in HARMLESS]:
        del kept[key]
    unknown = next((key for key in kept if key not in kind.model_fields), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, kind.model_fields, n=1, cutoff=0.6)
        raise RefusedError(
            f"unknown parameter {unknown!r}",
            where=f"request body, key {unknown}",
            mend=f"did you mean {near[0]!r}?" if near else "leave it out",
            code="unknown_parameter",
        )
    missing = next((key for key, field in kind.model_fields.items() if field.is_required() and key not in kept), None)
    if missing is not None:
        raise RefusedError(f"{missing!r} is not set", where=f"request body, key {missing}", mend=f"send {missing}")
    if isinstance(kept.get("stop"), str):
        kept["stop"] = [kept["stop"]]
    return kept
