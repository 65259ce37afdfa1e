"""Canary and shadow: who answers, who is asked as well, and what is written for the gate."""

import time
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
    assert (second.stable and second.stable.text, second.canary) == ("old", None)


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
