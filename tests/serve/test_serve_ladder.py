"""Ladders, fallbacks and the breaker: what answers when the best cannot, and how that is told."""

from typing import Any

import httpx
import pytest
from served import Script, serving

from luthier.errors import RoomError, SpecError
from luthier.event import Chose, Event
from luthier.serve.app import build_app
from luthier.serve.ladder import Ladder
from luthier.serve.spec import LadderSpec, RungSpec, ServeSpec

BODY = {"model": "best", "messages": [{"role": "user", "content": "a"}]}
LADDER = {
    "model": "best",
    "rungs": [{"model": "best", "score": 0.9}, {"model": "small", "score": 0.6}, {"say": "Sorry, later."}],
}
BROKEN = RoomError("no room", where="memory", mend="free some")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def ladder(clock: Clock | None = None, **more: Any) -> Ladder:
    return Ladder(LadderSpec.model_validate({**LADDER, **more}), clock or Clock())


def test_a_failing_best_is_stood_in_for_and_the_header_and_figures_tell_it() -> None:
    best, small = Script(("no",), name="best", error=BROKEN), Script(("small",), name="small")
    best.pieces = ()
    with serving(best, small, ladders=(LADDER,)) as url, httpx.Client(base_url=url) as web:
        reply = web.post("/v1/chat/completions", json=BODY)
        streamed = web.post("/v1/chat/completions", json={**BODY, "stream": True})
        figures = web.get("/metrics").text
    assert reply.json()["choices"][0]["message"]["content"] == "small"
    assert reply.json()["model"] == "best"
    assert (reply.headers["x-luthier-rung"], reply.headers["x-luthier-model"]) == ("1 small", "small")
    assert streamed.headers["x-luthier-rung"] == "1 small"
    assert 'luthier_rung_answers_total{model="best",rung="1"} 2.0' in figures


def test_the_last_rung_says_its_words() -> None:
    models = [Script((), name=name, error=BROKEN) for name in ("best", "small")]
    with serving(*models, ladders=(LADDER,)) as url, httpx.Client(base_url=url) as web:
        reply = web.post("/v1/chat/completions", json=BODY)
        names = [row["id"] for row in web.get("/v1/models").json()["data"]]
    assert reply.json()["choices"][0]["message"]["content"] == "Sorry, later."
    assert reply.headers["x-luthier-rung"] == "2 best/rung-2"
    assert names == ["best", "small"]


def test_the_first_byte_decides(told: list[Event]) -> None:
    best = Script(("half",), name="best", error=BROKEN)
    small = Script(("small",), name="small")
    with serving(best, small, ladders=(LADDER,)) as url, httpx.Client(base_url=url) as web:
        reply = web.post("/v1/chat/completions", json={**BODY, "stream": True})
    assert '"content":"half"' in reply.text
    assert "no room; free some" in reply.text
    assert not small.asked


def test_a_wrong_request_is_nobodys_failure() -> None:
    best, small = Script(name="best"), Script(name="small")
    with serving(best, small, ladders=(LADDER,)) as url, httpx.Client(base_url=url) as web:
        reply = web.post("/v1/chat/completions", json={**BODY, "logprobs": True})
    assert reply.status_code == 400
    assert not small.asked


def test_an_open_breaker_answers_503_with_a_time() -> None:
    script = Script((), name="best", error=BROKEN)
    with serving(script, breaker={"failures": 2, "first_seconds": 30}) as url, httpx.Client(base_url=url) as web:
        replies = [web.post("/v1/chat/completions", json=BODY) for _ in range(3)]
        ready = web.get("/health/ready")
        live = web.get("/health/live")
    assert [reply.status_code for reply in replies] == [503] * 3
    assert len(script.asked) == 2
    assert replies[-1].json()["error"]["code"] == "engine_failing"
    assert 25 <= int(replies[-1].headers["retry-after"]) <= 31
    assert (ready.status_code, live.status_code) == (503, 200)
    assert ready.json()["models"]["best"]["breaker"] == "open"


def test_retries_have_a_budget() -> None:
    best, small = Script((), name="best", error=BROKEN), Script(("small",), name="small")
    settings: dict[str, Any] = {"ladders": (LADDER,), "breaker": {"failures": 100, "retry_share": 0}}
    with serving(best, small, **settings) as url, httpx.Client(base_url=url) as web:
        assert web.post("/v1/chat/completions", json=BODY).status_code == 503
    assert not small.asked


def test_a_ladder_is_moved_by_hand_and_said_so(told: list[Event]) -> None:
    models = [Script(("best",), name="best"), Script(("small",), name="small")]
    boss = {"Authorization": "Bearer boss"}
    settings: dict[str, Any] = {"ladders": (LADDER,), "admin_keys": ("boss",)}
    with serving(*models, tell=told.append, **settings) as url, httpx.Client(base_url=url, headers=boss) as web:
        assert web.post("/admin/ladder", json={"model": "best", "rung": 1}).json()["by_hand"]
        assert web.post("/v1/chat/completions", json=BODY).headers["x-luthier-rung"] == "1 small"
        assert web.get("/admin/state").json()["ladders"]["best"]["rung"] == 1
        refused = web.post("/admin/ladder", json={"model": "best", "rung": 3})
        web.post("/admin/ladder", json={"model": "best", "rung": None})
        assert web.post("/v1/chat/completions", json=BODY).headers["x-luthier-rung"] == "0 best"
        assert web.post("/admin/ladder", json={"model": "small"}).status_code == 404
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "rung")
    assert next((event.value, event.why) for event in told if isinstance(event, Chose)) == ("small", "set by hand")


def test_it_goes_down_by_what_is_measured_and_up_after_calm() -> None:
    clock = Clock()
    of = ladder(clock, down_wait_seconds=5, calm_seconds=30)
    assert of.look(4.9, 0.0) == 0
    assert of.look(5.1, 0.0) == 1
    assert of.look(0.0, 0.6) == 1
    assert of.look(9.0, 1.0) == 0  # there is nothing below
    assert of.at == 2
    clock.now = 29
    assert of.look(0.0, 0.0) == 0
    clock.now = 31
    assert of.look(0.0, 0.0) == -1
    assert of.look(0.0, 0.0) == 0  # the next step up waits as long again
    clock.now = 62
    assert of.look(0.0, 0.0) == -1
    assert [rung.name for rung in of.from_here()] == ["best", "small", "best/rung-2"]


def test_a_rung_below_the_floor_is_never_used() -> None:
    of = ladder(floor=0.7)
    assert [rung.name for rung in of.rungs] == ["best", "best/rung-2"]


@pytest.mark.parametrize(
    ("rungs", "floor", "what", "where"),
    [
        ([{"model": "a", "say": "b"}, {"say": "c"}], None, "a model or words", "rungs.0"),
        ([{"model": "a"}, {"say": "c"}], 0.5, "has no score", "rungs.0.score"),
        ([{"model": "a", "score": 0.1}, {"model": "b", "score": 0.2}], 0.5, "below the floor", "floor"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(
    rungs: list[dict[str, Any]], floor: float | None, what: str, where: str
) -> None:
    spec = LadderSpec(model="m", rungs=tuple(RungSpec(**rung) for rung in rungs), floor=floor)
    with pytest.raises(SpecError, match=what) as caught:
        Ladder(spec)
    assert caught.value.where.endswith(where)
    assert caught.value.mend


def test_a_rung_that_nobody_serves_is_named() -> None:
    spec = ServeSpec.model_validate({"ladders": [LADDER]})
    with pytest.raises(SpecError, match="'small' is not served") as caught:
        build_app(spec, [Script(name="best")])
    assert caught.value.where == "key ladders.best"
