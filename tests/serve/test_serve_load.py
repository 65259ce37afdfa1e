"""Bounds: rates with their headers, slow and long requests, engines that get stuck, changes while serving."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from limits.errors import StorageError
from openai import OpenAI
from served import Script, serving

from luthier.engine.ports import ChatModel, Prompt
from luthier.errors import SpecError, StoreError
from luthier.event import Event, Said, Warned
from luthier.serve.given import Given
from luthier.serve.keys import NOBODY
from luthier.serve.rates import RETRY_SECONDS, Rates
from luthier.serve.refusal import RefusedError
from luthier.serve.spec import RatesSpec

BODY: dict[str, Any] = {"model": "script", "messages": [{"role": "user", "content": "a"}], "max_tokens": 10}
BOSS = {"Authorization": "Bearer boss"}


def post(url: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=BODY | more, timeout=20)


def test_requests_a_minute_are_counted_down_and_refused_as_openai_does() -> None:
    with serving(Script(), rates={"requests_per_minute": 2}) as url:
        first, second, third = (post(url) for _ in range(3))
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second, third)] == ["1", "0", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert (third.status_code, third.json()["error"]["type"]) == (429, "rate_limit_error")
    assert 1 <= int(third.headers["retry-after"]) <= 60


def test_tokens_a_minute_count_the_prompt_and_the_wish() -> None:
    with serving(Script(), rates={"tokens_per_minute": 30}) as url:
        assert post(url).headers["x-ratelimit-limit-tokens"] == "30"
        over = post(url, max_tokens=20)
        never = post(url, max_tokens=100)
    assert (over.status_code, over.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (never.status_code, never.json()["error"]["param"]) == (413, "max_tokens")


def test_a_key_may_have_only_so_many_requests_open() -> None:
    script = Script(pace=threading.Event())
    with serving(script, rates={"at_once": 1}) as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, url, stream=True)
        while not script.asked:
            time.sleep(0.01)
        second = post(url)
        assert script.pace
        script.pace.set()
        assert first.result().status_code == 200
        assert post(url).status_code == 200
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")


def test_a_place_where_nothing_can_be_counted_is_refused() -> None:
    with pytest.raises(SpecError, match=r"rates\.storage is 'nowhere://'") as caught:
        Rates(RatesSpec(storage="nowhere://"))
    assert (caught.value.where, "memory://" in caught.value.mend) == ("key rates.storage", True)


def test_requests_are_counted_here_while_the_shared_count_is_lost(
    monkeypatch: pytest.MonkeyPatch, told: list[Event]
) -> None:
    now = [100.0]
    rates = Rates(RatesSpec(requests_per_minute=1), told.append, lambda: now[0])

    async def lost(*_: object, **__: object) -> bool:
        raise StorageError(ConnectionError("refused"))

    def left() -> str:
        return asyncio.run(rates.take(NOBODY, 1))["x-ratelimit-remaining-requests"]

    with monkeypatch.context() as broken:
        broken.setattr(rates._shared, "test", lost)
        assert left() == "0"
        with pytest.raises(RefusedError, match="1 requests a minute"):
            left()
    with pytest.raises(RefusedError):  # it is not tried again with every request
        left()
    now[0] += RETRY_SECONDS
    assert left() == "0"
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert "counts for itself: refused" in warned.what


def test_the_openai_client_comes_again_when_it_is_told_to() -> None:
    script = Script(pace=threading.Event())
    with serving(script, waiting=0) as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, url)
        while not script.asked:
            time.sleep(0.01)
        assert script.pace
        threading.Timer(0.5, script.pace.set).start()
        with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=5, timeout=20) as client:
            said = client.chat.completions.create(model="script", messages=BODY["messages"])
        assert first.result().status_code == 200
    assert said.choices[0].message.content == "Hello you"


def test_a_body_that_trickles_is_given_up() -> None:
    with serving(Script(), body_seconds=0.3) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as door:
            door.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            answer = door.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert '"code":"timeout"' in answer


def test_headers_have_a_bound_and_strangers_pages_may_not_ask() -> None:
    with serving(Script(), header_bytes=2048) as url:
        long = httpx.get(f"{url}/v1/models", headers={"X-Long": "a" * 3000})
        stranger = httpx.get(f"{url}/v1/models", headers={"Origin": "https://elsewhere.example"})
    assert (long.status_code, long.json()["error"]["code"]) == (431, "request_too_large")
    assert "access-control-allow-origin" not in stranger.headers
    with serving(Script(), cors=("https://friend.example",)) as url:
        friend = httpx.get(f"{url}/v1/models", headers={"Origin": "https://friend.example"})
        other = httpx.get(f"{url}/v1/models", headers={"Origin": "https://elsewhere.example"})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-origin" not in other.headers


def test_an_engine_that_gets_stuck_is_seen_and_its_answers_end() -> None:
    script = Script(pace=threading.Event())
    with serving(script, stuck_seconds=0.3) as url:
        reply = post(url)
        assert script.pace
        ready = httpx.get(f"{url}/health/ready")
        live = httpx.get(f"{url}/health/live")
        script.pace.set()
        assert script.ended.wait(5)
        again = post(url)
    assert reply.status_code == 503
    assert "has said nothing for 0.3 s" in reply.json()["error"]["message"]
    assert (ready.status_code, live.status_code, again.status_code) == (503, 200, 200)
    assert "has answers to give" in ready.json()["models"]["script"]["why"]


def test_an_engine_that_ails_is_not_ready() -> None:
    script = Script(sick="its process has ended")
    with serving(script) as url:
        assert httpx.get(f"{url}/health/ready").json()["models"]["script"]["why"] == "its process has ended"
        script.sick = ""
        assert httpx.get(f"{url}/health/ready").status_code == 200


def test_a_request_that_cannot_wait_is_refused_at_once() -> None:
    script = Script(("a",) * 10, seconds_per_piece=0.1)
    with serving(script, first_token_seconds=60) as url, ThreadPoolExecutor(8) as pool:
        post(url)  # now the rate is known
        running = [pool.submit(post, url) for _ in range(3)]
        time.sleep(0.3)
        begun = time.monotonic()
        refused = httpx.post(f"{url}/v1/chat/completions", json=BODY, headers={"X-Luthier-Patience": "0.2"})
        seconds = time.monotonic() - begun
        assert [run.result().status_code for run in running] == [200] * 3
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert float(refused.headers["retry-after-ms"]) > 1000
    assert seconds < 1.5  # and not the 2.5 of its turn


def test_models_are_put_and_taken_while_serving_and_requests_keep_theirs(told: list[Event]) -> None:
    old = Script(("old",) * 10, seconds_per_piece=0.05)

    def open_model(name: str) -> ChatModel:
        if name == "none":
            raise StoreError("there is no 'none'", where="here", mend="luthier list")
        return Script(("new",), name=name) if name != "same" else Script(("new",), name="same")

    settings: dict[str, Any] = {"admin_keys": ("boss",), "given": Given(open_model=open_model), "tell": told.append}
    with (
        serving(old, **settings) as url,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=url, headers=BOSS, timeout=20) as web,
    ):
        running = pool.submit(web.post, "/v1/chat/completions", json=BODY)
        while not old.asked:
            time.sleep(0.01)
        put = web.post("/admin/models", json={"name": "script", "id": "fresh"}).json()
        after = web.post("/v1/chat/completions", json=BODY).json()
        same = web.post("/admin/models", json={"name": "script", "id": "same"}).json()
        assert web.post("/admin/models", json={"name": "a", "id": "none"}).status_code == 404
        assert web.post("/admin/models/remove", json={"name": "script"}).status_code == 200
        gone = web.post("/v1/chat/completions", json=BODY)
        assert running.result().json()["choices"][0]["message"]["content"] == "old" * 10
    assert (put["model"], put["changed"], same["changed"]) == ("fresh", True, False)
    assert after["choices"][0]["message"]["content"] == "new"
    assert gone.status_code == 404
    assert [event for event in told if isinstance(event, Warned) and "says the same" in event.what]
    assert next(event.text for event in told if isinstance(event, Said)) == "serving fresh as script"


def test_without_an_admin_key_nobody_administers() -> None:
    with serving(Script()) as url:
        reply = httpx.get(f"{url}/admin/state")
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "not_allowed")
    assert "--scope admin" in reply.json()["error"]["message"]


def test_a_server_that_drains_refuses_and_says_when_it_is_empty() -> None:
    with serving(Script(), admin_keys=("boss",)) as url, httpx.Client(base_url=url, headers=BOSS) as web:
        assert web.post("/admin/drain", json={"seconds": 5}).json() == {"is_draining": True, "is_empty": True}
        refused = web.post("/v1/chat/completions", json=BODY)
        assert web.get("/health/ready").status_code == 503
        web.post("/admin/drain", json={"on": False})
        assert web.post("/v1/chat/completions", json=BODY).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_conversations_are_kept_with_consent_only_masked_and_once_judged(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "capture": {"folder": str(tmp_path)},
        "given": Given(redact=lambda text: text.replace("Ann", "[name]")),
    }
    question = {"messages": [{"role": "user", "content": "I am Ann"}]}
    with serving(Script(("Hello Ann",)), **settings) as url, httpx.Client(base_url=url) as web:
        silent = web.post("/v1/chat/completions", json=BODY | question).json()["id"]
        assert web.post("/v1/feedback", json={"id": silent}).status_code == 404
        ids = []
        for _ in range(3):
            reply = web.post("/v1/chat/completions", json=BODY | question, headers={"X-Luthier-Consent": "yes"})
            ids.append(reply.json()["id"])
        assert list(tmp_path.iterdir()) == []
        assert web.post("/v1/feedback", json={"id": ids[0], "feedback": "down"}).status_code == 200
        assert web.post("/v1/feedback", json={"id": ids[1], "better": "Good day Ann"}).status_code == 200
        assert web.post("/v1/feedback", json={"id": ids[1]}).status_code == 404  # judged once
        assert web.post("/v1/feedback", json={"id": ids[2], "feedback": "maybe"}).status_code == 400
    rows = {path.name.partition("-")[0]: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    messages = [{"role": "user", "content": "I am [name]"}]
    said = {"role": "assistant", "content": "Hello [name]"}
    assert rows == {
        "judged": {
            "request": {"messages": messages},
            "response": {"choices": [{"message": said}]},
            "feedback": "down",
            "model": "script",
        },
        "better": {"prompt": messages, "chosen": "Good day [name]", "rejected": "Hello [name]", "model": "script"},
    }


def test_logs_hold_no_prompt_unless_asked(told: list[Event]) -> None:
    lines: dict[str, str] = {}
    for log in ("faults", "requests", "prompts"):
        told.clear()
        with serving(Script(), tell=told.append, log=log) as url:
            post(url, messages=[{"role": "user", "content": "secret"}])
        lines[log] = "\n".join(event.text for event in told if isinstance(event, Said))
    assert lines["faults"] == ""
    assert "script: 3 + 2 tokens" in lines["requests"]
    assert "secret" not in lines["requests"]
    assert "secret" in lines["prompts"]


def test_figures_are_counted_by_model_status_and_kind_of_key() -> None:
    with serving(Script()) as url:
        post(url)
        post(url, stream=True)
        post(url, temperature=9)
        text = httpx.get(f"{url}/metrics").text
    assert 'luthier_requests_total{key_kind="none",model="script",status="200"} 2.0' in text
    assert 'luthier_first_token_seconds_count{key_kind="none",model="script"} 2.0' in text
    assert 'luthier_generated_tokens_total{key_kind="none",model="script"} 4.0' in text
    assert 'luthier_prompt_tokens_total{key_kind="none",model="script"} 6.0' in text
    assert 'code="invalid_value"' in text


@dataclass
class Worded(Script):
    """A script whose prompts take their time to be counted, and that is closed once."""

    counting: threading.Event = field(default_factory=threading.Event)
    counted: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    context: int = 100
    vocabulary: int = 300

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        self.counting.set()
        assert self.counted.wait(10)
        return (1, 2)

    def spell(self, token_ids: Sequence[int]) -> list[bytes]:
        return [b"a"] * len(token_ids)

    def close(self) -> None:
        self.closed.set()


def test_a_model_that_is_replaced_while_a_prompt_is_counted_still_answers_it() -> None:
    old = Worded(("old",))
    given = Given(open_model=lambda name: Script(("new",), name=name))
    with serving(old, admin_keys=("boss",), given=given) as url, ThreadPoolExecutor(1) as pool:
        running = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=BODY, headers=BOSS, timeout=20)
        assert old.counting.wait(10)
        put = httpx.post(f"{url}/admin/models", json={"name": "script", "id": "new"}, headers=BOSS, timeout=20)
        assert put.status_code == 200
        assert not old.closed.is_set()
        old.counted.set()
        assert running.result().json()["choices"][0]["message"]["content"] == "old"
        assert old.closed.wait(10)


def test_the_end_of_serving_waits_until_what_was_put_meanwhile_is_closed() -> None:
    first, second = Worded(("old",)), Worded(("new",), name="new")
    given = Given(open_model=lambda name: second)
    with serving(first, admin_keys=("boss",), given=given, lifespan="on") as url:
        httpx.post(f"{url}/admin/models", json={"name": "new", "id": "new"}, headers=BOSS, timeout=20)
        assert not second.closed.is_set()
    assert first.closed.is_set()
    assert second.closed.is_set()


def test_a_release_that_takes_anothers_place_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.serve.follow.LOOK_SECONDS", 0.05)
    now = ["one"]

    def open_model(name: str) -> ChatModel:
        if name == "bad":
            raise StoreError("altered", where="here", mend="roll back")
        return Script((name,), name=name)

    given = Given(open_model=open_model, channels={"stable": lambda: now[0]})
    with (
        serving(Script(("one",), name="one"), given=given, lifespan="on") as url,
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20) as client,
    ):
        said = []
        for number in range(60):
            now[0] = "one" if number < 10 else "bad" if number < 20 else "two"
            answer = client.chat.completions.create(model="one", messages=BODY["messages"])
            said.append(answer.choices[0].message.content)
            time.sleep(0.02)
        assert [model.id for model in client.models.list()] == ["two"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("bad")
    assert said[0] == "one"
    assert said[-1] == "two"
    assert said == sorted(said, key=str)
