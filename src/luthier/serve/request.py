"""What a client may ask: the OpenAI requests, and the fields users know from vLLM."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, Strict
from pydantic_core import from_json

from luthier.artifact.example import Conversation
from luthier.engine.ports import Prompt, Sampling
from luthier.serve.refusal import RefusedError
from luthier.serve.tools import Calls, ToolChoice, read_choice
from luthier.serve.turn import Bool, Int, Text, Tool, Turn, sift_turn, without_neutral
from luthier.serve.unknown import known_only
from luthier.spec import Settings, Spec, build

HARMLESS = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
)
"""Parameters that never change an answer: taken and left alone."""

LACKED: Mapping[str, tuple[Any, ...]] = {
    "bad_words": (None, []),
    "best_of": (None, 1),
    "guided_choice": (None,),
    "guided_grammar": (None,),
    "guided_regex": (None,),
    "ignore_eos": (None, False),
    "include_stop_str_in_output": (None, False),
    "length_penalty": (None, 1),
    "min_p": (None, 0),
    "prompt_logprobs": (None,),
    "skip_special_tokens": (None, True),
    "stop_token_ids": (None, []),
    "structured_outputs": (None,),
    "typical_p": (None, 1),
    "use_beam_search": (None, False),
}
"""Parameters known from elsewhere that no engine has, with the values that ask for nothing."""

CHAT_LACKED: Mapping[str, tuple[Any, ...]] = {
    **LACKED,
    "audio": (None,),
    "function_call": (None, "none"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
}
COMPLETION_LACKED: Mapping[str, tuple[Any, ...]] = {**LACKED, "suffix": (None, "")}

Float = Annotated[float, Strict()]
Stop = Annotated[Text, Field(min_length=1, max_length=1024)]
Stops = Annotated[list[Stop], Field(max_length=16)]
Seed = Annotated[Int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[Int, Field(ge=1, lt=2**31)]
Choices = Annotated[Int, Field(ge=1, le=16)]
Temperature = Annotated[Float, Field(ge=0, le=2)]
TopP = Annotated[Float, Field(gt=0, le=1)]
TopK = Annotated[Int, Field(ge=-1, lt=2**31)]
Penalty = Annotated[Float, Field(ge=-2, le=2)]
Repetition = Annotated[Float, Field(gt=0, le=10)]
Bias = dict[Annotated[str, Field(pattern=r"^\d{1,10}$")], Annotated[Float, Field(ge=-100, le=100)]]
TokenIds = Annotated[list[Int], Field(min_length=1)]
AnySchema = dict[str, Any] | Bool


class StreamOptions(Spec):
    """How a stream is sent."""

    include_usage: Bool = False
    """Whether the last chunk before the end counts tokens."""


class NamedSchema(Spec):
    """A JSON Schema with a name."""

    name: Text = ""
    description: Text | None = None
    schema_: Annotated[AnySchema, Field(alias="schema")] = True
    strict: Bool | None = None


class ResponseFormat(Spec):
    """What form the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class ChatRequest(Spec):
    """The body of /v1/chat/completions."""

    model: Text
    messages: Annotated[list[Turn], Field(min_length=1)]
    tools: list[Tool] | None = None
    """Shown to the model as its chat template shows them."""
    tool_choice: ToolChoice | None = None
    """`required`, or a tool by name: the answer is such a call, and nothing else."""
    parallel_tool_calls: Bool | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    """The newer word for max_tokens."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    """Not OpenAI's: only so many of the likeliest tokens; 0 or -1: all."""
    stop: Stops | None = None
    """Texts that end the answer; a single one need not stand in a list."""
    seed: Seed | None = None
    n: Choices | None = None
    stream: Bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Bool | None = None
    top_logprobs: Annotated[Int, Field(ge=0, le=20)] | None = None
    logit_bias: Bias | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_format: ResponseFormat | None = None
    repetition_penalty: Repetition | None = None
    """Not OpenAI's: divides the logits of tokens that were there before; 1: none."""
    min_tokens: Annotated[Int, Field(ge=0, lt=2**31)] | None = None
    """Not OpenAI's: no end before so many new tokens."""
    max_time: Annotated[Float, Field(gt=0)] | None = None
    """Not OpenAI's: an answer that takes longer (in seconds) ends there."""
    guided_json: AnySchema | None = None
    """Not OpenAI's: vLLM's older word for response_format json_schema."""
    return_token_ids: Bool | None = None
    """Not OpenAI's: whether the response carries the ids of prompt and answer."""


class CompletionRequest(Spec):
    """The body of /v1/completions."""

    model: Text
    prompt: Text | TokenIds | Annotated[list[Text] | list[TokenIds], Field(min_length=1)]
    """A text, token ids, or a list of either."""
    echo: Bool | None = None
    """Whether the prompt is said before the answer."""
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    stop: Stops | None = None
    seed: Seed | None = None
    n: Choices | None = None
    stream: Bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Annotated[Int, Field(ge=0, le=20)] | None = None
    logit_bias: Bias | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_format: ResponseFormat | None = None
    repetition_penalty: Repetition | None = None
    min_tokens: Annotated[Int, Field(ge=0, lt=2**31)] | None = None
    max_time: Annotated[Float, Field(gt=0)] | None = None
    guided_json: AnySchema | None = None
    return_token_ids: Bool | None = None


@dataclass(frozen=True)
class Asked:
    """A request, whichever it was, with nothing left open."""

    model: str
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    choices_per_prompt: int = 1
    is_chat: bool = True
    is_stream: bool = False
    counts_usage: bool = False
    returns_ids: bool = False
    echo: bool = False
    tools: Calls | None = None
    """Which calls are read out of the answer; None: it is text whatever it says."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the client called a wish, where that is not the name of Sampling's field."""
    ignored: tuple[str, ...] = ()
    """Keys that nobody here knows."""


AnyRequest = TypeVar("AnyRequest", bound=Spec)


def read_chat(body: bytes, max_tokens: int | None, most_messages: int = 2048) -> Asked:
    """Read a chat request. Raises RefusedError or SpecError, both of which name the parameter."""
    data = sift(read_body(body), CHAT_LACKED)
    turns = data.get("messages")
    if isinstance(turns, list):
        check_count(turns, most_messages, "messages")
        data["messages"] = [
            sift_turn(turn, f"messages.{index}.") if isinstance(turn, dict) else turn
            for index, turn in enumerate(turns)
        ]
    request, ignored = build_known(ChatRequest, data)
    bounds = {request.max_tokens, request.max_completion_tokens} - {None}
    if len(bounds) > 1:
        raise RefusedError(
            f"max_tokens is {request.max_tokens}, max_completion_tokens is {request.max_completion_tokens}",
            where="request body, key max_tokens",
            mend="give one of them: they mean the same",
        )
    messages = tuple(turn.message(index) for index, turn in enumerate(request.messages))
    tools = tuple(data.get("tools") or ())  # as the client wrote them: a template shows their keys in that order
    prompt = Conversation(messages, tools) if tools else messages
    choice = read_choice(request.tool_choice, request.tools or ())
    wishes = _wishes(request, next(iter(bounds), max_tokens), choice.schema if choice else None)
    if request.top_logprobs is not None and not request.logprobs:
        if request.top_logprobs:
            raise RefusedError(
                f"top_logprobs is {request.top_logprobs}, logprobs is not set",
                where="request body, key top_logprobs",
                mend="set logprobs to true, or leave top_logprobs out",
            )
    elif request.logprobs:
        wishes["top_logprobs"] = request.top_logprobs or 0
    names = {"json_schema": "tool_choice"} if choice and choice.schema else {}
    return _asked(request, (prompt,), Sampling(**wishes), names, ignored, is_chat=True, tools=choice)


def read_completion(body: bytes, max_tokens: int | None, most_messages: int = 2048) -> Asked:
    """Read a completion request. Raises RefusedError or SpecError, both of which name the parameter."""
    data = sift(read_body(body), COMPLETION_LACKED)
    prompt = data.get("prompt")
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        check_count(prompt, most_messages, "prompt")
    request, ignored = build_known(CompletionRequest, data)
    wishes = _wishes(request, request.max_tokens or max_tokens, None)
    if request.logprobs is not None:
        if request.echo and request.stream:
            raise RefusedError(
                "echo and logprobs together ask for log-probabilities of the prompt, which are not streamed",
                where="request body, key logprobs",
                mend="ask for the whole response at once (stream: false), or leave one of the two out",
                code="unsupported_parameter",
            )
        wishes["top_logprobs"] = request.logprobs
        wishes["prompt_logprobs"] = request.logprobs if request.echo else None
    return _asked(
        request, _prompts(request.prompt), Sampling(**wishes), {}, ignored, is_chat=False, echo=bool(request.echo)
    )


def _wishes(request: ChatRequest | CompletionRequest, max_tokens: int | None, schema: str | None) -> dict[str, Any]:
    top_k = request.top_k
    return {
        "max_tokens": max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": 0 if top_k == -1 else top_k,
        "stop": tuple(request.stop or ()),
        "seed": request.seed,
        "min_tokens": request.min_tokens or 0,
        "repetition_penalty": request.repetition_penalty,
        "presence_penalty": request.presence_penalty or 0.0,
        "frequency_penalty": request.frequency_penalty or 0.0,
        "logit_bias": tuple((int(name), value) for name, value in (request.logit_bias or {}).items()),
        "json_schema": schema or _schema(request.response_format, request.guided_json),
        "max_seconds": request.max_time,
    }


def _schema(form: ResponseFormat | None, guided: dict[str, Any] | bool | None) -> str | None:
    if guided is not None:
        return json.dumps(guided, ensure_ascii=False)
    if form is None:
        return None
    schema = form.json_schema.schema_ if form.json_schema else None
    mend = 'send {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
    return schema_text(form.type, schema, "response_format", "json_schema", mend)


def schema_text(kind: str, schema: AnySchema | None, name: str, key: str, mend: str) -> str | None:
    """Give the JSON Schema that a form asks for, as JSON text. Raises RefusedError where it has none and needs one."""
    if kind == "text":
        return None
    if kind == "json_object":
        return json.dumps({"type": "object"})
    if schema is None:
        raise RefusedError(
            f"{name} is of the type json_schema and has none", where=f"request body, key {name}.{key}", mend=mend
        )
    return json.dumps(schema, ensure_ascii=False)


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> tuple[Prompt, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    ids = [part for part in prompt if isinstance(part, int)]
    if ids:
        return (tuple(ids),)
    return tuple(part if isinstance(part, str) else tuple(part) for part in prompt if not isinstance(part, int))


def _asked(
    request: ChatRequest | CompletionRequest,
    prompts: tuple[Prompt, ...],
    sampling: Sampling,
    names: Mapping[str, str],
    ignored: Sequence[str],
    *,
    is_chat: bool,
    echo: bool = False,
    tools: Calls | None = None,
) -> Asked:
    if request.stream_options is not None and not request.stream:
        raise RefusedError(
            "stream_options is set, stream is not",
            where="request body, key stream_options",
            mend="set stream to true, or leave stream_options out",
        )
    return Asked(
        model=request.model,
        prompts=prompts,
        sampling=sampling,
        choices_per_prompt=request.n or 1,
        is_chat=is_chat,
        is_stream=bool(request.stream),
        counts_usage=request.stream_options is not None and request.stream_options.include_usage,
        returns_ids=bool(request.return_token_ids),
        echo=echo,
        tools=tools,
        names=names,
        ignored=tuple(ignored),
    )


def read_body(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises RefusedError for anything else."""
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


def check_count(parts: Sequence[Any], most: int, name: str) -> None:
    """Raise RefusedError (413) for a list that is too long."""
    if len(parts) > most:
        raise RefusedError(
            f"there are {len(parts)} {name}",
            where=f"request body, key {name}",
            mend=f"send at most {most}, or start the server with a greater `messages`",
            status=413,
            code="request_too_large",
        )


def sift(data: dict[str, Any], lacked: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Drop what asks for nothing; refuse by name what is asked for and no engine has."""
    kept = without_neutral(data, lacked, "")
    kept = {key: value for key, value in kept.items() if key not in HARMLESS}
    if isinstance(kept.get("stop"), str):
        kept["stop"] = [kept["stop"]]
    return kept


def build_known(kind: type[AnyRequest], data: dict[str, Any]) -> tuple[AnyRequest, list[str]]:
    """Make the request of what is known in it, and name the rest. Raises RefusedError or SpecError."""
    known, ignored = known_only(kind, data)
    missing = next((key for key, part in kind.model_fields.items() if part.is_required() and key not in known), None)
    if missing is not None:
        raise RefusedError(
            f"{missing!r} is not set",
            where=f"request body, key {missing}",
            mend=f"send {missing}",
            code="missing_required_parameter",
        )
    return build(kind, Settings(known, {}, "request body")), ignored
