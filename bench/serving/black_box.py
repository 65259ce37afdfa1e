"""What OpenAI's own client relies on, asked of any address: a list of checks, each a claim that holds or does not.

python bench/serving/black_box.py URL MODEL      prints JSON: [[claim, holds, why not], ...]
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

QUESTION: list[Any] = [{"role": "user", "content": "Say hello."}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Sky(BaseModel):
    """What a parsed answer is."""

    is_blue: bool


class Box:
    """One server, as a client sees it."""

    def __init__(self, url: str, model: str) -> None:
        self.url, self.model = url, model
        self.client = OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120)

    def chat(self, **wishes: Any) -> Any:
        """Ask for a chat."""
        asked = {"model": self.model, "messages": QUESTION, "max_tokens": 6, "temperature": 0, **wishes}
        return self.client.chat.completions.create(**asked)

    def refused(self, path: str = "chat/completions", **wishes: Any) -> tuple[int, dict[str, Any]]:
        """Send a plain body; give the status and the error object."""
        body = {"model": self.model, "messages": QUESTION, "max_tokens": 6, **wishes}
        reply = httpx.post(f"{self.url}/{path}", json=body, timeout=120)
        error = reply.json().get("error") or {}
        assert reply.status_code < 400 or set(error) == {"message", "type", "param", "code"}, reply.text
        return reply.status_code, error


def _stream(box: Box) -> bool:
    chunks = list(box.chat(stream=True, stream_options={"include_usage": True}))
    first, *middle, last, counted = chunks
    is_ordered = first.choices[0].delta.role == "assistant" and last.choices[0].finish_reason in ("stop", "length")
    is_alone = all(chunk.choices[0].finish_reason is None for chunk in middle)
    return is_ordered and is_alone and len({chunk.id for chunk in chunks}) == 1 and counted.usage.total_tokens > 0


def _streamed_is_whole(box: Box) -> bool:
    whole = box.chat().choices[0].message.content
    return bool(whole == "".join(chunk.choices[0].delta.content or "" for chunk in box.chat(stream=True)))


def _stop(box: Box) -> bool:
    text = box.chat(max_tokens=12).choices[0].message.content
    stop = text[2:4]
    said = box.chat(max_tokens=12, stop=stop).choices[0]
    return bool(said.finish_reason == "stop" and said.message.content == text.partition(stop)[0])


def _seed(box: Box) -> bool:
    first, second = (box.chat(temperature=1, seed=5, n=2) for _ in range(2))
    return [c.message.content for c in first.choices] == [c.message.content for c in second.choices]


def _logprobs(box: Box) -> bool:
    content = box.chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    return bool(content) and all(len(at.top_logprobs) == 3 and at.bytes is not None for at in content)


def _bias(box: Box) -> bool:
    said = box.chat(extra_body={"return_token_ids": True}).choices[0].model_extra["token_ids"]
    other = box.chat(extra_body={"return_token_ids": True}, logit_bias={str(said[0]): -100})
    return bool(other.choices[0].model_extra["token_ids"][0] != said[0])


def _json_object(box: Box) -> bool:
    said = box.chat(response_format={"type": "json_object"}, max_tokens=60).choices[0]
    return said.finish_reason == "length" or isinstance(json.loads(said.message.content), dict)


def _parse(box: Box) -> bool:
    said = box.client.chat.completions.parse(
        model=box.model, messages=QUESTION, response_format=Sky, max_tokens=40, temperature=0
    )
    return isinstance(said.choices[0].message.parsed, Sky)


def _tools(box: Box) -> bool:
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    choices = [box.chat(tools=[TOOL], tool_choice=choice, max_tokens=60).choices[0] for choice in ("required", named)]
    return all(
        choice.finish_reason == "tool_calls" and "city" in json.loads(choice.message.tool_calls[0].function.arguments)
        for choice in choices
    )


def _tool_stream(box: Box) -> bool:
    chunks = list(box.chat(tools=[TOOL], tool_choice="required", max_tokens=60, stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    return bool(calls[0].function.name == "get_weather" and chunks[-1].choices[0].finish_reason == "tool_calls")


def _tool_result(box: Box) -> bool:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    turns = [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}]
    return bool(box.chat(messages=[*turns, {"role": "tool", "tool_call_id": "c1", "content": "sun"}], tools=[TOOL]).id)


def _completions(box: Box) -> bool:
    said = box.client.completions.create(model=box.model, prompt=["One, two,", "A, B,"], max_tokens=3, temperature=0)
    return [choice.index for choice in said.choices] == [0, 1] and said.object == "text_completion"


def _ids(box: Box) -> bool:
    ids = box.chat(extra_body={"return_token_ids": True}).model_extra["prompt_token_ids"]
    said = box.client.completions.create(model=box.model, prompt=ids, max_tokens=6, temperature=0)
    return bool(said.choices[0].text == box.chat().choices[0].message.content)


def _echo(box: Box) -> bool:
    said = box.client.completions.create(model=box.model, prompt="One,", max_tokens=2, echo=True)
    return said.choices[0].text.startswith("One,")


def _responses(box: Box) -> bool:
    said = box.client.responses.create(model=box.model, input="Say hello.", max_output_tokens=16)
    return said.object == "response" and bool(said.output_text) and said.usage is not None


def _response_events(box: Box) -> bool:
    stream = box.client.responses.create(model=box.model, input="Say hello.", max_output_tokens=16, stream=True)
    events = list(stream)
    is_numbered = [event.sequence_number for event in events] == list(range(len(events)))
    return is_numbered and events[0].type == "response.created" and events[-1].type.startswith("response.")


def _models(box: Box) -> bool:
    listed = [model.id for model in box.client.models.list()]
    return box.model in listed and box.client.models.retrieve(box.model).id == box.model


def _async(box: Box) -> bool:
    async def ask() -> list[Any]:
        async with AsyncOpenAI(base_url=box.url, api_key="none", max_retries=0, timeout=120) as client:
            wish: Any = {"model": box.model, "messages": QUESTION, "max_tokens": 3, "temperature": 0}
            return await asyncio.gather(*(client.chat.completions.create(**wish) for _ in range(3)))

    return len({answer.choices[0].message.content for answer in asyncio.run(ask())}) == 1


def _not_found(box: Box) -> bool:
    try:
        box.chat(model="gpt-nobody")
    except openai.NotFoundError as error:
        return error.code == "model_not_found"
    return False


def _status(wanted: int, parameter: str | None, **wishes: Any) -> Callable[[Box], bool]:
    def check(box: Box) -> bool:
        status, error = box.refused(**wishes)
        return status == wanted and (parameter is None or str(error.get("param", "")).startswith(parameter))

    return check


def _garbage(box: Box) -> bool:
    bodies = (b"{", b"[]", b"\xff\xfe", b'{"model": NaN}', b"")
    return all(httpx.post(f"{box.url}/chat/completions", content=body).status_code == 400 for body in bodies)


CHECKS: dict[str, Callable[[Box], bool]] = {
    "a stream: one id, role first, empty last delta with its reason, usage when asked": _stream,
    "streamed says what whole says": _streamed_is_whole,
    "stop ends the answer and is no part of it": _stop,
    "a seed repeats, with several answers": _seed,
    "logprobs with the likeliest and bytes": _logprobs,
    "logit_bias bars a token": _bias,
    "json_object is an object": _json_object,
    "json_schema through the client's parse helper": _parse,
    "tool_choice required and named are calls": _tools,
    "a streamed call": _tool_stream,
    "a call and its result in the history": _tool_result,
    "a developer's turn": lambda box: bool(box.chat(messages=[{"role": "developer", "content": "Hi"}, *QUESTION]).id),
    "parts of text": lambda box: bool(
        box.chat(
            messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
        ).id
    ),
    "max_completion_tokens": lambda box: (
        box.chat(max_tokens=None, max_completion_tokens=2).usage.completion_tokens <= 2
    ),
    "penalties": lambda box: bool(box.chat(presence_penalty=1, frequency_penalty=1).id),
    "unknown fields are taken": lambda box: bool(box.chat(extra_body={"no_such_field": 1}).id),
    "vLLM's fields: top_k, min_tokens, repetition_penalty": lambda box: (
        box.chat(extra_body={"top_k": 5, "min_tokens": 3, "repetition_penalty": 1.1}).usage.completion_tokens >= 3
    ),
    "completions of several prompts": _completions,
    "completions of token ids": _ids,
    "echo": _echo,
    "responses": _responses,
    "responses as events": _response_events,
    "models and one of them": _models,
    "the async client": _async,
    "404 with its code for an unknown model": _not_found,
    "400 for a negative temperature": _status(400, "temperature", temperature=-1),
    "400 for a text in the place of a number": _status(400, "max_tokens", max_tokens="many"),
    "400 for 1,000 stop strings": _status(400, "stop", stop=["a"] * 1000),
    "400 for no messages": _status(400, "messages", messages=[]),
    "400 for what the engine lacks, by name": _status(400, "use_beam_search", use_beam_search=True),
    "400 for a prompt over the context": _status(400, None, messages=[{"role": "user", "content": "word " * 40_000}]),
    "413 for 10 MB": _status(413, None, messages=[{"role": "user", "content": "a" * 10_000_000}]),
    "422 for a schema that nothing meets": _status(
        422, "response_format", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": False}}
    ),
    "400 for what is not JSON": _garbage,
}


def check_all(url: str, model: str) -> list[tuple[str, bool, str]]:
    """Give each claim, whether it holds, and what was wrong."""
    box = Box(url, model)
    found = []
    for claim, check in CHECKS.items():
        try:
            holds, why = check(box), ""
        except Exception as error:  # a claim that raises does not hold
            holds, why = False, f"{type(error).__name__}: {error}"[:200]
        found.append((claim, holds, why))
    return found


if __name__ == "__main__":
    print(json.dumps(check_all(sys.argv[1], sys.argv[2])))
