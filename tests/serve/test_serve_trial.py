"""Canary and shadow: who answers, who is asked as well, and what is written for the gate."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Script, serving

from luthier.artifact.traffic import Exchange, read_exchanges
from luthier.errors import RoomError, SpecError
from luthier.serve.app import build_app
from luthier.serve.given import Given
from luthier.serve.spec import ServeSpec

BODY = {"model": "stable", "messages": [{"role": "user", "content": "I am Ann"}]}


def exchanges(folder: Path, count: int) -> list[Exchange]:
    """Wait for so many: a shadow is asked after its request is answered."""
    path = folder / "stable--new" / "exchanges.jsonl"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if path.exists() and len(found := list(read_exchanges(path))) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{count} exchanges did not come")


def trial(folder: Path, **shares: float) -> dict[str, Any]:
    return {"model": "stable", "candidate": "new", "folder": str(folder), **shares}


def test_a_shadow_is_asked_as_well_and_nobody_sees_it(tmp_path: Path) -> None:
    given = Given(redact=lambda text: text.replace("Ann", "[name]"))
    stable, new = Script(("old",), name="stable"), Script(("new",), name="new")
    with serving(stable, new, given=given, trials=(trial(tmp_path, shadow=1),)) as url:
        whole = httpx.post(f"{url}/v1/chat/completions", json=BODY)
        streamed = httpx.post(f"{url}/v1/chat/completions", json={**BODY, "stream": True})
        found = exchanges(tmp_path, 2)
    assert whole.json()["choices"][0]["message"]["content"] == "old"
    assert '"content":"old"' in streamed.text
    for exchange in found:
        assert (exchange.stable_id, exchange.canary_id) == ("stable", "new")
        assert exchange.messages == ({"role": "user", "content": "I am [name]"},)
        assert exchange.stable is not None
        assert exchange.canary is not None
        assert (exchange.stable.text, exchange.canary.text, exchange.canary.tokens) == ("old", "new", 1)
    assert found[0].request == whole.json()["id"]


def test_a_canary_answers_its_share_and_what_fails_is_answered_by_the_stable(tmp_path: Path) -> None:
    stable, new = Script(("old",), name="stable"), Script(("new",), name="new")
    with serving(stable, new, trials=(trial(tmp_path, canary=1),)) as url:
        reply = httpx.post(f"{url}/v1/chat/completions", json=BODY)
        new.pieces, new.error = (), RoomError("no room", where="memory", mend="free some")
        saved = httpx.post(f"{url}/v1/chat/completions", json=BODY)
        first, second = exchanges(tmp_path, 2)
    assert reply.json()["choices"][0]["message"]["content"] == "new"
    assert (reply.json()["model"], reply.headers["x-luthier-canary"]) == ("stable", "yes")
    assert saved.json()["choices"][0]["message"]["content"] == "old"
    assert "x-luthier-canary" not in saved.headers
    assert (first.stable, first.canary and first.canary.text) == (None, "new")
    assert (second.stable and second.stable.text, second.canary and second.canary.error) == (
        "old",
        "RoomError: no room",
    )


def test_a_canary_that_breaks_off_is_written_as_a_failure(tmp_path: Path) -> None:
    stable = Script(("old",), name="stable")
    new = Script(("ne",), name="new", error=RoomError("no room", where="memory", mend="free some"))
    with serving(stable, new, trials=(trial(tmp_path, canary=1),)) as url:
        reply = httpx.post(f"{url}/v1/chat/completions", json={**BODY, "stream": True})
        [found] = exchanges(tmp_path, 1)
    assert '"error"' in reply.text
    assert (found.stable, found.canary and found.canary.error) == (None, "RoomError: no room")


def test_a_trial_follows_its_channels_from_its_beginning_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.serve.follow.LOOK_SECONDS", 0.02)
    now: dict[str, str | None] = {"stable": "one", "canary": None}
    opened: list[str] = []

    def open_model(name: str) -> Script:
        opened.append(name)
        return Script((f"I am {name}",), name=name)

    given = Given(
        open_model=open_model, channels={channel: partial(now.get, channel) for channel in ("stable", "canary")}
    )
    trials = ({"canary": 1, "folder": str(tmp_path)},)
    with (
        serving(Script(("I am one",), name="one"), given=given, lifespan="on", trials=trials) as url,
        httpx.Client(base_url=url) as web,
    ):

        def said_until(wanted: str) -> set[tuple[int, str]]:
            heard = set()
            end = time.monotonic() + 10
            while time.monotonic() < end:
                reply = web.post("/v1/chat/completions", json={**BODY, "model": "one"})
                heard.add((reply.status_code, reply.json()["choices"][0]["message"]["content"]))
                if (200, wanted) in heard:
                    return heard
            raise AssertionError(heard)

        assert said_until("I am one") == {(200, "I am one")}
        now["canary"] = "two"
        assert said_until("I am two") <= {(200, "I am one"), (200, "I am two")}
        assert len(list(read_exchanges(tmp_path / "one--two" / "exchanges.jsonl"))) == 1
        now |= {"stable": "two", "canary": None}
        time.sleep(0.2)
        assert said_until("I am two") == {(200, "I am two")}
        assert [model["id"] for model in web.get("/v1/models").json()["data"]] == ["two"]
        now["canary"] = "three"
        said_until("I am three")
        now["canary"] = None
        time.sleep(0.2)
        assert said_until("I am two") == {(200, "I am two")}
    assert opened == ["two", "three"]


def test_a_shadow_that_fails_is_written_as_a_failure(tmp_path: Path) -> None:
    stable = Script(("old",), name="stable")
    new = Script((), name="new", error=RoomError("no room", where="memory", mend="free some"))
    with serving(stable, new, trials=(trial(tmp_path, shadow=1),)) as url:
        assert httpx.post(f"{url}/v1/chat/completions", json=BODY).status_code == 200
        [found] = exchanges(tmp_path, 1)
    assert found.canary is not None
    assert (found.canary.text, found.canary.error) == ("", "RoomError: no room")


def test_a_candidate_that_nobody_serves_is_named() -> None:
    spec = ServeSpec.model_validate({"trials": [{"model": "stable", "candidate": "new"}]})
    with pytest.raises(SpecError, match="'new' is not served") as caught:
        build_app(spec, [Script(name="stable")])
    assert caught.value.where == "key trials"
