"""What the API promises beyond plain answers, through OpenAI's own client."""

import asyncio
import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI
from served import Hashing, Script, serving

from luthier.artifact.store import Artifact
from luthier.engine.local import LocalModel, open_local
from luthier.engine.ports import ALWAYS_TAKEN, Likely
from luthier.serve.given import Given

QUESTION: list[Any] = [{"role": "user", "content": "Sky?"}]
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": NOTHING}}
CALL = '{"name": "look", "arguments": {"at": "天"}}'
EVERYTHING = ALWAYS_TAKEN | {
    "min_tokens",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "top_logprobs",
    "json_schema",
    "max_seconds",
}


@pytest.fixture(scope="module")
def tiny(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def url(tiny: LocalModel) -> Iterator[str]:
    with serving(tiny, Script(), given=Given(embedders=(Hashing(),))) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with client_of(url) as made:
        yield made


def client_of(url: str, retries: int = 0) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=retries, timeout=20)


def asked(script: Script, **wishes: Any) -> Any:
    with serving(script) as url, client_of(url) as client:
        return client.chat.completions.create(model="script", messages=QUESTION, **wishes)


@pytest.mark.parametrize(
    ("wish", "value", "name"),
    [
        ("logit_bias", {"5": 1}, "logit_bias"),
        ("logprobs", True, "logprobs"),
        ("presence_penalty", 1, "presence_penalty"),
        ("response_format", {"type": "json_object"}, "response_format"),
        ("max_time", 2.5, "max_time"),
        ("min_tokens", 2, "min_tokens"),
        ("use_beam_search", True, "use_beam_search"),
        ("tool_choice", "required", "tool_choice"),
    ],
)
def test_a_wish_the_engine_lacks_is_refused_and_both_are_named(url: str, wish: str, value: Any, name: str) -> None:
    body = {"model": "script", "messages": QUESTION, "tools": [LOOK], wish: value}
    with httpx.Client() as web:
        reply = web.post(f"{url}/v1/chat/completions", json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, name, "unsupported_parameter")
    assert name in error["message"]
    assert ("'script' (Script)" in error["message"]) == (wish != "use_beam_search")


def test_what_nobody_knows_is_taken_and_told_in_a_header(url: str) -> None:
    with httpx.Client() as web:
        reply = web.post(f"{url}/v1/chat/completions", json={"model": "script", "messages": QUESTION, "temprature": 0})
    assert reply.status_code == 200
    assert reply.headers["x-luthier-ignored"] == "temprature"
    assert reply.headers["x-luthier-model"] == "script"


def test_log_probabilities_have_tokens_bytes_and_the_likeliest(client: OpenAI, tiny: LocalModel) -> None:
    wish: Any = {"model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 6, "logprobs": True}
    whole = client.chat.completions.create(**wish, top_logprobs=3, extra_body={"return_token_ids": True}).choices[0]
    assert whole.logprobs is not None
    content = whole.logprobs.content or []
    assert whole.model_extra is not None
    assert len(content) == len(whole.model_extra["token_ids"]) == 6
    for at, token_id in zip(content, whole.model_extra["token_ids"], strict=True):
        assert [bytes(at.bytes or [])] == tiny.spell([token_id])
        assert len(at.top_logprobs) == 3
        assert at.logprob == at.top_logprobs[0].logprob == max(top.logprob for top in at.top_logprobs)  # greedy
        assert sum(math.exp(top.logprob) for top in at.top_logprobs) <= 1
    streamed = list(client.chat.completions.create(**wish, top_logprobs=3, stream=True))
    said = [
        at
        for chunk in streamed
        if chunk.choices[0].logprobs is not None
        for at in chunk.choices[0].logprobs.content or []
    ]
    assert [at.model_dump() for at in said] == [at.model_dump() for at in content]


def test_completions_tell_log_probabilities_in_their_own_form_and_echo(client: OpenAI) -> None:
    said = client.completions.create(model="tiny", prompt="The fox", temperature=0, max_tokens=4, logprobs=2)
    form = said.choices[0].logprobs
    assert form is not None
    assert form.tokens is not None
    assert [len(part or []) for part in (form.tokens, form.token_logprobs, form.top_logprobs, form.text_offset)] == [
        4
    ] * 4
    echoed = client.completions.create(model="tiny", prompt="The fox", temperature=0, max_tokens=4, echo=True)
    assert echoed.choices[0].text == "The fox" + said.choices[0].text
    stream = client.completions.create(
        model="tiny", prompt="The fox", temperature=0, max_tokens=4, echo=True, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in stream) == echoed.choices[0].text


def test_an_echoed_prompt_has_log_probabilities_where_lm_eval_looks_for_them(client: OpenAI) -> None:
    [ids, _] = [
        client.completions.create(model="tiny", prompt=text, max_tokens=1, extra_body={"return_token_ids": True})
        for text in ("The fox jumps", "x")
    ]
    prompt: list[int] = ids.model_extra["prompt_token_ids"]  # type: ignore[index]
    said = client.completions.create(
        model="tiny", prompt=[prompt, prompt[:2]], temperature=0, max_tokens=1, echo=True, logprobs=1
    )
    for choice, length in zip(said.choices, (len(prompt), 2), strict=True):
        form = choice.logprobs
        assert form is not None
        assert form.tokens is not None
        assert form.token_logprobs is not None
        assert form.top_logprobs is not None
        assert [
            len(part or []) for part in (form.tokens, form.token_logprobs, form.top_logprobs, form.text_offset)
        ] == [length + 1] * 4
        assert json.loads(form.to_json())["token_logprobs"][0] is None
        assert json.loads(form.to_json())["top_logprobs"][0] is None
        assert "".join(form.tokens)[: len(choice.text)] == choice.text
        for logprob, top in zip(form.token_logprobs[1:], form.top_logprobs[1:], strict=True):
            assert logprob <= max(top.values()) + 1e-6 <= 1e-6
    # both begin alike, so what is said of the beginning is the same
    first, second = (choice.logprobs.token_logprobs for choice in said.choices)  # type: ignore[union-attr]
    assert first
    assert second
    assert first[1] == pytest.approx(second[1], abs=1e-4)


def test_a_schema_holds_the_answer_and_the_client_parses_it(client: OpenAI) -> None:
    class Sky(pydantic.BaseModel):
        is_blue: bool

    said = client.chat.completions.parse(model="tiny", messages=QUESTION, response_format=Sky, max_tokens=60)
    parsed = said.choices[0].message.parsed
    assert isinstance(parsed, Sky)


def test_a_demanded_call_is_a_call_even_where_the_template_has_no_place_for_tools(client: OpenAI) -> None:
    wish: Any = {"model": "tiny", "messages": QUESTION, "tools": [LOOK], "tool_choice": "required", "max_tokens": 80}
    choice = client.chat.completions.create(**wish).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, isinstance(json.loads(call.function.arguments), dict)) == ("look", True)
    chunks = list(client.chat.completions.create(**wish, stream=True))
    [streamed] = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert streamed.function is not None
    assert (streamed.index, streamed.function.name) == (0, "look")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("pieces", "content"),
    [
        ((CALL,), None),
        (("Let me see. ", "<tool_", f"call>\n{CALL}", "\n</tool_call>"), "Let me see."),
        ((f"[TOOL_CALLS] [{CALL}]",), None),
        (('{"name": "look", "param', 'eters": {"at": "天"}}'), None),
    ],
    ids=["bare", "hermes", "mistral", "llama"],
)
def test_calls_in_a_text_are_taken_out_of_it(pieces: tuple[str, ...], content: str | None) -> None:
    script = Script(pieces)
    with serving(script) as url, client_of(url) as client:
        wish: Any = {"model": "script", "messages": QUESTION, "tools": [LOOK]}
        message = client.chat.completions.create(**wish).choices[0].message
        chunks = [chunk.choices[0].delta for chunk in client.chat.completions.create(**wish, stream=True)]
    assert message.content == content
    [call] = message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"at": "天"}
    assert "".join(delta.content or "" for delta in chunks).strip() == (content or "")
    assert [c.function.name for delta in chunks for c in delta.tool_calls or [] if c.function] == ["look"]


@pytest.mark.parametrize(
    "pieces",
    [("{not JSON",), ("a <tool", "box> b"), (CALL.replace("look", "listen"),), ("2 < 3",)],
    ids=["brace", "tag", "unknown tool", "less"],
)
def test_what_is_no_call_stays_text(pieces: tuple[str, ...]) -> None:
    script = Script(pieces)
    with serving(script) as url, client_of(url) as client:
        wish: Any = {"model": "script", "messages": QUESTION, "tools": [LOOK]}
        choice = client.chat.completions.create(**wish).choices[0]
        chunks = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**wish, stream=True)]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == ("".join(pieces), None, "stop")
    assert "".join(chunks) == "".join(pieces)


def test_what_else_belongs_to_an_answer_stands_in_its_metadata() -> None:
    sources = {"sources": [{"id": "a.md:3", "text": "blue"}]}
    script = Script(details=sources)
    assert asked(script).choices[0].message.model_extra["metadata"] == sources
    with serving(script) as url, client_of(url) as client:
        *_, last = client.chat.completions.create(model="script", messages=QUESTION, stream=True)
    assert (last.choices[0].delta.model_extra or {})["metadata"] == sources


@pytest.mark.parametrize("token_id", [10**6, -1])
def test_foreign_token_ids_are_refused_whatever_the_engine_does(client: OpenAI, token_id: int) -> None:
    with pytest.raises(openai.BadRequestError, match="outside the vocabulary"):
        client.completions.create(model="tiny", prompt=[5, token_id])


@pytest.mark.parametrize(
    ("schema", "status"),
    [
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, 422),
        ({"enum": []}, 422),
        ({"type": "integer", "minimum": 3, "maximum": 2}, 422),
        ({"anyOf": [False, {"enum": []}]}, 422),
        ({"type": "text"}, 400),
        ({"properties": {"a": {"type": "int"}}}, 400),
    ],
    ids=str,
)
def test_a_schema_that_nothing_meets_or_that_is_none_is_refused(client: OpenAI, schema: Any, status: int) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="tiny", messages=QUESTION, response_format=form)
    assert (caught.value.status_code, caught.value.code) == (status, "invalid_json_schema")
    assert caught.value.param == "response_format"


def test_responses_whole_and_as_events(client: OpenAI) -> None:
    wish: Any = {"model": "script", "instructions": "Be brief.", "input": "Sky?"}
    whole = client.responses.create(**wish)
    assert (whole.status, whole.output_text, whole.instructions) == ("completed", "Hello you", "Be brief.")
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (3, 2)
    events = list(client.responses.create(**wish, stream=True))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Hello you"


def test_responses_say_when_they_are_cut_and_call_tools(client: OpenAI) -> None:
    cut = client.responses.create(model="tiny", input=QUESTION, max_output_tokens=3)
    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    tool: Any = {"type": "function", "name": "look", "parameters": NOTHING}
    wish: Any = {"model": "tiny", "input": QUESTION, "tools": [tool], "tool_choice": "required"}
    said = client.responses.create(**wish)
    [item] = said.output
    assert item.type == "function_call"
    assert item.name == "look"
    result: Any = {"type": "function_call_output", "call_id": item.call_id, "output": "blue"}
    again = client.responses.create(model="tiny", input=[*QUESTION, item.to_dict(), result], max_output_tokens=2)
    assert again.output_text
    kinds = [event.type for event in client.responses.create(**wish, stream=True)]
    assert "response.function_call_arguments.done" in kinds


@pytest.mark.parametrize(
    ("more", "parameter"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": [{"type": "reasoning"}]}, "input.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ],
    ids=str,
)
def test_responses_refuse_by_name_what_they_lack(url: str, more: dict[str, Any], parameter: str) -> None:
    with httpx.Client() as web:
        reply = web.post(f"{url}/v1/responses", json={"model": "script", "input": "a", **more})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, parameter)


def test_embeddings_come_as_numbers_and_as_base64(client: OpenAI, url: str) -> None:
    said = client.embeddings.create(model="hashing", input=["a b", "天"])  # the client asks for base64
    plain = client.embeddings.create(model="hashing", input=["a b", "天"], encoding_format="float")
    assert [row.index for row in said.data] == [0, 1]
    assert np.allclose([row.embedding for row in said.data], [row.embedding for row in plain.data])
    assert said.usage.prompt_tokens == 3
    with httpx.Client() as web:
        body = {"model": "hashing", "input": "a b", "encoding_format": "base64"}
        raw = web.post(f"{url}/v1/embeddings", json=body).json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(raw), "<f4").tolist() == plain.data[0].embedding
    assert "hashing" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"model": "script"}, 400, "answers, it makes no vectors"),
        ({"model": "nobody"}, 404, "ask for one of: hashing"),
        ({"input": [1, 2]}, 400, "reads texts"),
        ({"input": ""}, 400, "text 0 is empty"),
        ({"input": "a b c d e f"}, 400, "6 tokens, 'hashing' reads 5"),
        ({"dimensions": 4}, 400, "gives 8"),
    ],
    ids=str,
)
def test_embeddings_are_refused_with_reason(url: str, more: dict[str, Any], status: int, words: str) -> None:
    with httpx.Client() as web:
        reply = web.post(f"{url}/v1/embeddings", json={"model": "hashing", "input": "a", **more})
    assert reply.status_code == status
    assert words in reply.json()["error"]["message"]


def test_the_async_client_is_answered_too(url: str) -> None:
    async def ask() -> list[str | None]:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20) as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(model="script", messages=QUESTION) for _ in range(5))
            )
        return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(ask()) == ["Hello you"] * 5


def test_the_chosen_tokens_likelihood_is_told_where_only_that_is_known() -> None:
    script = Script(heeds=EVERYTHING, logprobs=(Likely(7, -0.5), Likely(8, -math.inf)))
    content = asked(script, logprobs=True).choices[0].logprobs.content
    assert [(at.logprob, at.top_logprobs) for at in content] == [(-0.5, []), (-9999.0, [])]
