"""The server through OpenAI's own client: the tiny model's answers, and every way a request can fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from served import Script, serving

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.engine.local import LocalModel, open_local
from luthier.engine.ports import Sampling
from luthier.errors import DataError, RoomError
from luthier.event import Event, Failed

QUESTION: list[Any] = [{"role": "user", "content": "今天天气很好"}]
IDS = {"return_token_ids": True}


@pytest.fixture(scope="module")
def tiny(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def url(tiny: LocalModel) -> Iterator[str]:
    with serving(tiny, Script(name="other/script")) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with client_of(url) as made:
        yield made


def client_of(url: str, key: str = "none") -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)


def wait_for(event: threading.Event) -> bool:
    return event.wait(10)


def test_served_is_local_and_the_prompt_is_the_templates(client: OpenAI, tiny: LocalModel) -> None:
    for text in ("Hello", "今天天气很好", "🙂 " * 20):
        turns = (Message("system", "Be brief."), Message("user", text))
        messages: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": text}]
        said = client.chat.completions.create(
            model="tiny", messages=messages, temperature=0, max_tokens=20, extra_body=IDS
        )
        [local] = tiny.answer([turns], Sampling(max_tokens=20, temperature=0))
        assert said.model_extra is not None
        assert said.model_extra["prompt_token_ids"] == tiny.template.prompt(turns) == list(local.prompt_ids)
        [choice] = said.choices
        assert choice.model_extra is not None
        assert tuple(choice.model_extra["token_ids"]) == local.token_ids
        assert (choice.message.content, choice.finish_reason) == (local.text, local.finish)
        assert said.usage is not None
        assert said.usage.prompt_tokens == len(local.prompt_ids)
        assert said.usage.completion_tokens == len(local.token_ids)


def test_a_stream_says_the_same_in_order(client: OpenAI, tiny: LocalModel) -> None:
    stream = client.chat.completions.create(
        model="tiny",
        messages=QUESTION,
        temperature=0,
        max_completion_tokens=15,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=IDS,
    )
    chunks = list(stream)
    [local] = tiny.answer([(Message("user", "今天天气很好"),)], Sampling(max_tokens=15, temperature=0))
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    first, *middle, last, counted = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle) == local.text
    assert all(chunk.choices[0].finish_reason is None and chunk.usage is None for chunk in (first, *middle))
    ids = [token_id for chunk in middle for token_id in (chunk.choices[0].model_extra or {})["token_ids"]]
    assert tuple(ids) == local.token_ids
    assert last.choices[0].finish_reason == "length"
    assert last.choices[0].delta.content is None
    assert tuple((first.model_extra or {})["prompt_token_ids"]) == local.prompt_ids
    assert all("prompt_token_ids" not in (chunk.model_extra or {}) for chunk in (*middle, last))
    assert counted.choices == []
    assert counted.usage is not None
    assert counted.usage.total_tokens == len(local.prompt_ids) + 15


def test_a_stream_ends_with_done_and_without_usage_unless_asked(url: str) -> None:
    body = {"model": "tiny", "messages": QUESTION, "max_tokens": 2, "stream": True}
    with httpx.Client() as client:
        reply = client.post(f"{url}/v1/chat/completions", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("data: [DONE]\n\n")
    assert "usage" not in reply.text
    assert "token_ids" not in reply.text


def test_chinese_and_emoji_are_streamed_as_they_are() -> None:
    words = ("你", "好，", "👩‍👩‍👧", " é\u0301", "\n", '"\\')
    with serving(Script(words)) as url, client_of(url) as client:
        stream = client.chat.completions.create(model="script", messages=QUESTION, stream=True)
        said = [chunk.choices[0].delta.content for chunk in stream]
    assert [text for text in said if text] == list(words)


def test_a_drawn_answer_repeats_with_its_seed_and_each_of_several_is_its_own(client: OpenAI) -> None:
    def draw(seed: int) -> list[str | None]:
        said = client.chat.completions.create(
            model="tiny", messages=QUESTION, temperature=2, top_p=0.9, seed=seed, n=3, max_tokens=8
        )
        assert [choice.index for choice in said.choices] == [0, 1, 2]
        return [choice.message.content for choice in said.choices]

    assert draw(1) == draw(1) != draw(50)
    assert len(set(draw(1))) == 3


def test_several_choices_are_streamed_with_their_numbers(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tiny", messages=QUESTION, n=2, max_tokens=3, temperature=0, stream=True
    )
    finished = [(chunk.choices[0].index, chunk.choices[0].finish_reason) for chunk in stream]
    assert [index for index, _ in finished] == sorted(index for index, _ in finished)
    assert [index for index, why in finished if why] == [0, 1]


def test_a_stop_string_ends_the_answer(client: OpenAI, tiny: LocalModel) -> None:
    whole = tiny.answer([(Message("user", "今天天气很好"),)], Sampling(max_tokens=20, temperature=0))[0].text
    stop = whole[len(whole) // 2 :][:2]
    wish: dict[str, Any] = {"model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 20, "stop": [stop]}
    said = client.chat.completions.create(**wish)
    assert said.choices[0].finish_reason == "stop"
    assert said.choices[0].message.content == whole.split(stop)[0]
    streamed = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**wish, stream=True)]
    assert "".join(streamed) == whole.split(stop)[0]


def test_parts_of_text_are_joined(tiny: LocalModel) -> None:
    script = Script()
    parts: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    with serving(script) as url, client_of(url) as client:
        client.chat.completions.create(model="script", messages=parts)
    assert script.asked[0][0] == (Message("user", "ab"),)


def test_an_answer_can_be_sent_back_as_the_client_library_writes_it(client: OpenAI) -> None:
    said = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=3)
    again: list[Any] = [*QUESTION, said.choices[0].message, *QUESTION]
    assert client.chat.completions.create(model="tiny", messages=again, max_tokens=3).choices


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("The fox", ["The fox"]),
        (["The fox", "你好"], ["The fox", "你好"]),
        ([5, 6, 7], [(5, 6, 7)]),
        ([[5, 6], [7]], [(5, 6), (7,)]),
    ],
    ids=["text", "texts", "ids", "lists of ids"],
)
def test_completions_are_local_too(client: OpenAI, tiny: LocalModel, prompt: Any, prompts: list[Any]) -> None:
    said = client.completions.create(model="tiny", prompt=prompt, temperature=0, max_tokens=6, extra_body=IDS)
    local = tiny.answer(prompts, Sampling(max_tokens=6, temperature=0))
    assert [choice.text for choice in said.choices] == [answer.text for answer in local]
    assert [tuple((choice.model_extra or {})["token_ids"]) for choice in said.choices] == [a.token_ids for a in local]
    ids = [list(answer.prompt_ids) for answer in local]
    assert (said.model_extra or {})["prompt_token_ids"] == (ids if len(ids) > 1 else ids[0])
    assert said.usage is not None
    assert said.usage.prompt_tokens == sum(map(len, ids))
    stream = client.completions.create(model="tiny", prompt=prompt, temperature=0, max_tokens=6, stream=True)
    texts = [""] * len(local)
    for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [answer.text for answer in local]


def test_models_and_health(url: str, client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "other/script"]
    assert client.models.retrieve("other/script").owned_by == "luthier"
    with httpx.Client() as plain:
        assert plain.get(f"{url}/health").json() == {"status": "ok", "models": ["tiny", "other/script"]}


def test_models_are_chosen_by_name(client: OpenAI) -> None:
    said = client.chat.completions.create(model="other/script", messages=QUESTION)
    assert (said.model, said.choices[0].message.content) == ("other/script", "Hello you")


ASKING: dict[str, Callable[[OpenAI], object]] = {
    "chat": lambda client: client.chat.completions.create(model="gpt-5", messages=QUESTION),
    "completion": lambda client: client.completions.create(model="gpt-5", prompt="a"),
    "card": lambda client: client.models.retrieve("gpt-5"),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_an_unknown_model_is_not_found_and_the_known_are_named(client: OpenAI, ask: Callable[[OpenAI], object]) -> None:
    with pytest.raises(openai.NotFoundError, match="ask for one of: tiny, other/script") as caught:
        ask(client)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_prompt_over_the_context_says_so_with_both_numbers(client: OpenAI, is_stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match=r"600 tokens, the model's context is 512.*at most 511") as caught:
        client.completions.create(model="tiny", prompt=[5] * 600, stream=is_stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.type == "invalid_request_error"


def test_more_tokens_than_fit_are_capped_at_the_context(client: OpenAI) -> None:
    said = client.completions.create(model="tiny", prompt=[5] * 508, max_tokens=4000, temperature=0)
    assert said.usage is not None
    assert said.usage.total_tokens <= 512


def test_the_servers_bound_holds_where_a_request_has_none() -> None:
    script = Script()
    with serving(script, max_tokens=77) as url, client_of(url) as client:
        client.chat.completions.create(model="script", messages=QUESTION)
        client.chat.completions.create(model="script", messages=QUESTION, max_tokens=5)
    assert [sampling.max_tokens for _, sampling in script.asked] == [77, 5]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"model": NaN}', 400), (b"\xff\xfe", 400), (b"", 400), (b"[" * 100_000, 400)],
    ids=["cut", "list", "nan", "no utf-8", "empty", "deep"],
)
def test_a_body_that_is_no_json_object_is_refused(url: str, content: bytes, status: int) -> None:
    with httpx.Client() as client:
        reply = client.post(f"{url}/v1/chat/completions", content=content)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_long_is_refused_after_it_was_sent(url: str) -> None:
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "a" * 10_000_000}]}).encode()
    with httpx.Client() as client:
        reply = client.post(f"{url}/v1/chat/completions", content=body)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "request_too_large"
    assert "body_bytes" in reply.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("DELETE", "/v1/models", 405)])
def test_what_is_not_served_gets_an_error_object_too(url: str, method: str, path: str, status: int) -> None:
    with httpx.Client() as client:
        reply = client.request(method, f"{url}{path}")
    assert reply.status_code == status
    assert path in reply.json()["error"]["message"]


def test_keys_are_asked_for_where_they_are_set() -> None:
    with serving(Script(), api_keys=("one", "two")) as url:
        for key in ("one", "two"):
            with client_of(url, key) as client:
                assert client.chat.completions.create(model="script", messages=QUESTION).choices
        with client_of(url, "three") as client:
            with pytest.raises(openai.AuthenticationError, match="with a key of this server") as caught:
                client.models.list()
            assert caught.value.code == "invalid_api_key"
            with pytest.raises(openai.AuthenticationError):
                client.chat.completions.create(model="script", messages=QUESTION)
        with httpx.Client() as plain:
            assert plain.get(f"{url}/health").status_code == 200


def test_one_request_more_than_may_wait_is_told_when_to_come_again() -> None:
    script = Script(pace=threading.Event())
    with serving(script, waiting=0) as url, client_of(url) as client, ThreadPoolExecutor(1) as pool:
        assert script.pace is not None
        first = pool.submit(client.chat.completions.create, model="script", messages=QUESTION)
        while not script.asked:
            time.sleep(0.01)
        with pytest.raises(openai.RateLimitError, match="0 requests wait for 'script' already; ask again in") as caught:
            client.chat.completions.create(model="script", messages=QUESTION)
        script.pace.set()
        assert first.result().choices[0].message.content == "Hello you"
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    assert caught.value.code == "rate_limit_exceeded"


def test_four_clients_are_answered_one_at_a_time_and_right() -> None:
    script = Script(tuple("abcdefgh"), seconds_per_piece=0.005)
    with serving(script) as url, client_of(url) as client, ThreadPoolExecutor(4) as pool:

        def ask(number: int) -> str:
            stream = client.chat.completions.create(
                model="script", messages=[{"role": "user", "content": str(number)}], stream=True
            )
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

        assert list(pool.map(ask, range(12))) == ["abcdefgh"] * 12
    assert len({prompt for prompt, _ in script.asked}) == 12
    assert script.most_at_once == 1


def test_four_clients_of_the_tiny_model_hear_what_one_hears(client: OpenAI) -> None:
    def ask(number: int) -> str | None:
        messages: list[Any] = [{"role": "user", "content": f"number {number % 4}"}]
        said = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=10)
        return said.choices[0].message.content

    alone = [ask(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == alone * 2


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_stops_the_model_within_a_token(is_stream: bool) -> None:
    script = Script(("a",) * 2000, seconds_per_piece=0.01)
    body = {"model": "script", "messages": QUESTION, "stream": is_stream}
    with serving(script) as url, httpx.Client(timeout=0.5 if not is_stream else 10) as client:
        if is_stream:
            with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
                next(reply.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{url}/v1/chat/completions", json=body)
        assert wait_for(script.ended)
        assert script.said < 200
        with client_of(url) as other:
            script.pieces = ("b",)
            assert other.chat.completions.create(model="script", messages=QUESTION).choices[0].message.content == "b"


def test_a_client_that_leaves_while_it_waits_is_never_answered() -> None:
    script = Script(pace=threading.Event())
    with serving(script) as url, client_of(url) as client, ThreadPoolExecutor(1) as pool:
        assert script.pace is not None
        first = pool.submit(client.chat.completions.create, model="script", messages=QUESTION)
        while not script.asked:
            time.sleep(0.01)
        impatient = {"model": "script", "messages": [{"role": "user", "content": "impatient"}]}
        with pytest.raises(httpx.ReadTimeout):  # the openai client would have told the server how long it waits
            httpx.post(f"{url}/v1/chat/completions", json=impatient, timeout=0.3)
        time.sleep(0.2)  # the server hears of it
        script.pace.set()
        first.result()
        client.chat.completions.create(model="script", messages=QUESTION)
    assert [prompt for prompt, _ in script.asked] == [(Message("user", "今天天气很好"),)] * 2


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (DataError("no", where="key messages", mend="say yes"), openai.BadRequestError, 400),
        (RoomError("no room", where="memory", mend="free some"), openai.InternalServerError, 503),
        (ZeroDivisionError("division by zero"), openai.InternalServerError, 500),
    ],
    ids=["data", "room", "bug"],
)
def test_an_error_of_the_model_has_its_status_and_ours_are_told(
    error: Exception, kind: type[openai.APIStatusError], status: int, told: list[Event]
) -> None:
    with serving(Script((), error=error), tell=told.append) as url, client_of(url) as client:
        for is_stream in (False, True):
            with pytest.raises(kind) as caught:
                client.chat.completions.create(model="script", messages=QUESTION, stream=is_stream)
            assert caught.value.status_code == status
    assert len([event for event in told if isinstance(event, Failed)]) == (2 if status >= 500 else 0)


def test_an_error_in_the_middle_of_a_stream_reaches_the_client(told: list[Event]) -> None:
    script = Script(("a", "b"), error=RoomError("no room", where="memory", mend="free some"))
    heard: list[str | None] = []
    with serving(script, tell=told.append) as url, client_of(url) as client:
        stream = client.chat.completions.create(model="script", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="no room; free some"):
            heard.extend(chunk.choices[0].delta.content for chunk in stream)
    assert [event.what for event in told if isinstance(event, Failed)]
