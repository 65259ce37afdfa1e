"""What a client may ask: nothing is ignored in silence, and every refusal names its parameter."""

import json
from typing import Any

import pytest

from luthier.artifact.example import Message
from luthier.engine.ports import Sampling
from luthier.errors import LuthierError
from luthier.serve.refusal import to_plain
from luthier.serve.request import CHAT_LACKED, COMPLETION_LACKED, HARMLESS, read_chat, read_completion
from luthier.serve.turn import TURN_NEUTRAL

TURN = {"role": "user", "content": "a"}
CHAT = {"model": "m", "messages": [TURN]}
COMPLETION = {"model": "m", "prompt": "a"}


def chat(**more: Any) -> bytes:
    return json.dumps(CHAT | more).encode()


def completion(**more: Any) -> bytes:
    return json.dumps(COMPLETION | more).encode()


def refused(body: bytes, *, is_chat: bool = True) -> dict[str, Any]:
    """Give the error object of a body that is refused."""
    with pytest.raises(LuthierError) as caught:
        (read_chat if is_chat else read_completion)(body, None)
    assert caught.value.mend
    error: dict[str, Any] = to_plain(caught.value)["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_every_wish_of_a_chat_is_read() -> None:
    body = chat(
        max_tokens=5, temperature=0, top_p=0.5, top_k=3, stop="x", seed=-7, n=2, stream=True, return_token_ids=True
    )
    asked = read_chat(body, 99)
    assert asked.sampling == Sampling(5, 0, 0.5, 3, ("x",), -7)
    assert asked.prompts == ((Message("user", "a"),),)
    assert (asked.model, asked.choices_per_prompt, asked.is_stream, asked.returns_ids) == ("m", 2, True, True)
    assert (asked.is_chat, asked.counts_usage) == (True, False)


def test_null_asks_for_nothing() -> None:
    nothing = dict.fromkeys(("max_tokens", "temperature", "top_p", "stop", "seed", "n", "stream", "stream_options"))
    assert read_chat(chat(**nothing), 99) == read_chat(chat(), 99)
    assert read_chat(chat(), 99).sampling == Sampling(99)


def test_the_developer_speaks_as_the_system() -> None:
    asked = read_chat(chat(messages=[{"role": "developer", "content": "be brief"}, TURN]), None)
    assert asked.prompts == ((Message("system", "be brief"), Message("user", "a")),)


def test_both_words_for_the_bound_mean_the_same_and_must_not_differ() -> None:
    assert read_chat(chat(max_completion_tokens=4), 99).sampling.max_tokens == 4
    assert read_chat(chat(max_completion_tokens=4, max_tokens=4), 99).sampling.max_tokens == 4
    error = refused(chat(max_completion_tokens=4, max_tokens=5))
    assert error["param"] == "max_tokens"
    assert "give one of them" in error["message"]


@pytest.mark.parametrize("is_chat", [True, False])
def test_what_asks_for_nothing_is_taken_and_what_cannot_be_had_is_refused_by_name(is_chat: bool) -> None:
    neutral = CHAT_LACKED if is_chat else COMPLETION_LACKED
    write, read = (chat, read_chat) if is_chat else (completion, read_completion)
    assert len(neutral) >= 7
    for name, values in neutral.items():
        assert values
        for value in values:
            assert read(write(**{name: value}), None) == read(write(), None)
        error = refused(write(**{name: "something"}), is_chat=is_chat)
        assert (error["param"], error["code"]) == (name, "unsupported_parameter")
        assert f"leave {name} out" in error["message"]


def test_what_never_changes_an_answer_is_taken() -> None:
    assert HARMLESS
    for name in HARMLESS:
        assert read_chat(chat(**{name: "anything"}), None) == read_chat(chat(), None)


def test_a_part_of_a_turn_that_is_no_text_is_refused_by_name() -> None:
    assert TURN_NEUTRAL
    for name in TURN_NEUTRAL:
        assert read_chat(chat(messages=[TURN | {name: None}]), None) == read_chat(chat(), None)
        assert refused(chat(messages=[TURN, TURN | {name: "x"}]))["param"] == f"messages.1.{name}"


@pytest.mark.parametrize(
    ("more", "parameter", "message"),
    [
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"temperature": 2.5}, "temperature", "less than or equal to 2"),
        ({"temperature": "0.5"}, "temperature", "valid number"),
        ({"temperature": True}, "temperature", "valid number"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": -5}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 1.5}, "max_tokens", "valid integer"),
        ({"max_tokens": True}, "max_tokens", "valid integer"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"top_k": -2}, "top_k", "greater than or equal to -1"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 17}, "n", "less than or equal to 16"),
        ({"stop": ""}, "stop.0", "at least 1 character"),
        ({"stop": ["a", ""]}, "stop.1", "at least 1 character"),
        ({"stop": 7}, "stop", "valid list"),
        ({"stop": ["a"] * 17}, "stop", "at most 16 items"),
        ({"stream": "yes"}, "stream", "valid boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "set stream to true"),
        ({"top_logprobs": 2}, "top_logprobs", "set logprobs to true"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a", "pattern"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "less than or equal to 100"),
        ({"presence_penalty": 3}, "presence_penalty", "less than or equal to 2"),
        ({"repetition_penalty": 0}, "repetition_penalty", "greater than 0"),
        ({"min_tokens": -1}, "min_tokens", "greater than or equal to 0"),
        ({"max_time": 0}, "max_time", "greater than 0"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "send {"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "'text'"),
        ({"stop": ["a"] * 1000}, "stop", "at most 16 items"),
        ({"stop": ["a" * 1025]}, "stop.0", "at most 1024 characters"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hello"}, "messages", "valid list"),
        ({"messages": ["hello"]}, "messages.0", "valid dictionary"),
        ({"messages": [{"role": "user"}]}, "messages.0", "write messages.0.content"),
        ({"messages": [{"role": "alien", "content": "a"}]}, "messages.0.role", "'user'"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content", "valid string"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
            "reads nothing else",
        ),
        ({"model": 7}, "model", "valid string"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_with_its_name_and_a_mend(more: dict[str, Any], parameter: str, message: str) -> None:
    error = refused(chat(**more))
    assert error["param"] == parameter
    assert message in error["message"]


@pytest.mark.parametrize("name", ["model", "messages"])
def test_what_is_missing_is_named(name: str) -> None:
    body = json.dumps({key: value for key, value in CHAT.items() if key != name}).encode()
    error = refused(body)
    assert (error["param"], error["message"]) == (name, f"'{name}' is not set; send {name}")


@pytest.mark.parametrize("prompt", [[], [[]], {"a": 1}, [1, "a"], [[1], "a"], [1.5], None, [True]], ids=str)
def test_a_prompt_that_is_neither_text_nor_ids_is_refused(prompt: object) -> None:
    assert str(refused(completion(prompt=prompt), is_chat=False)["param"]).startswith("prompt")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_numbers_json_does_not_have_are_refused(text: str) -> None:
    body = chat(temperature=1).replace(b'"temperature": 1', f'"temperature": {text}'.encode())
    assert text.encode() in body
    assert "not JSON" in refused(body)["message"]


def test_a_number_too_great_for_a_float_is_refused() -> None:
    body = chat(temperature=1).replace(b'"temperature": 1', b'"temperature": 1e999')
    assert refused(body)["param"] == "temperature"


def test_every_wish_that_only_some_engines_know_is_read() -> None:
    body = chat(
        presence_penalty=1,
        frequency_penalty=-0.5,
        logit_bias={"5": -100, "6": 1.5},
        logprobs=True,
        top_logprobs=3,
        repetition_penalty=1.2,
        min_tokens=2,
        max_time=1.5,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}},
    )
    assert read_chat(body, None).sampling == Sampling(
        presence_penalty=1,
        frequency_penalty=-0.5,
        logit_bias=((5, -100), (6, 1.5)),
        top_logprobs=3,
        repetition_penalty=1.2,
        min_tokens=2,
        max_seconds=1.5,
        json_schema='{"type": "integer"}',
    )
    assert read_chat(chat(logprobs=True), None).sampling.top_logprobs == 0
    assert read_chat(chat(response_format={"type": "json_object"}), None).sampling.json_schema == '{"type": "object"}'
    assert read_chat(chat(guided_json={"type": "null"}), None).sampling.json_schema == '{"type": "null"}'
    assert read_completion(completion(logprobs=4), None).sampling.top_logprobs == 4
    assert read_completion(completion(echo=True), None).echo
    both = read_completion(completion(echo=True, logprobs=1), None).sampling
    assert (both.top_logprobs, both.prompt_logprobs) == (1, 1)
    assert refused(completion(echo=True, logprobs=1, stream=True), is_chat=False)["param"] == "logprobs"


def test_what_nobody_knows_is_left_alone_and_named() -> None:
    asked = read_chat(
        chat(
            temprature=0,
            stream=True,
            stream_options={"include_usage": True, "usage": 1},
            messages=[{**TURN, "cache": 1, "content": [{"type": "text", "text": "a", "cache_control": {}}]}],
        ),
        None,
    )
    assert set(asked.ignored) == {
        "temprature",
        "stream_options.usage",
        "messages.0.cache",
        "messages.0.content.0.cache_control",
    }
    assert asked.counts_usage
    assert asked.prompts == ((Message("user", "a"),),)


def test_too_many_messages_are_refused_with_both_numbers() -> None:
    with pytest.raises(LuthierError) as caught:
        read_chat(chat(messages=[TURN] * 9), None, 8)
    assert to_plain(caught.value)["error"]["param"] == "messages"
    assert ("9 messages" in caught.value.what, "at most 8" in caught.value.mend) == (True, True)


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert "not JSON" in refused(rb'{"model": "m", "messages": [{"role": "user", "content": "\ud83d"}]}')["message"]
