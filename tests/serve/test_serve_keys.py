"""Keys: only hashes at rest, scopes, an end, and a running server that takes note."""

import json
import stat
from pathlib import Path

import httpx
import pytest
from served import Script, serving

from luthier.errors import StoreError
from luthier.serve.given import Given
from luthier.serve.keys import Key, KeyFile, find_key, fixed_keys


def test_a_key_is_shown_once_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    secret = file.make(Key("", "ann", ""))
    text = file.path.read_text(encoding="utf-8")
    assert secret.startswith("lut-")
    assert secret not in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    [key] = file.known()
    assert find_key(file.known(), secret) == key
    assert find_key(file.known(), secret + "x") is None
    assert find_key(file.known(), "") is None
    assert json.loads(text)["keys"][0]["name"] == "ann"


def test_a_key_ends_and_is_revoked(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    secret = file.make(Key("", "ann", "", expires=1000.0))
    assert find_key(file.known(), secret, now=lambda: 999.0)
    assert find_key(file.known(), secret, now=lambda: 1000.0) is None
    assert file.revoke("ann").name == "ann"
    assert file.known() == ()
    with pytest.raises(StoreError, match="there is no key 'ann'") as caught:
        file.revoke("ann")
    assert "there are: none" in caught.value.mend


def test_two_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.make(Key("", "ann", ""))
    file.make(Key("", "ann", ""))
    with pytest.raises(StoreError, match="2 keys are called 'ann'"):
        file.revoke("ann")
    file.revoke(file.known()[0].id)
    assert len(file.known()) == 1


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be read") as caught:
        KeyFile(path).known()
    assert caught.value.where == str(path)
    assert "luthier keys make" in caught.value.mend


def test_keys_of_the_settings_are_found_and_only_some_administer() -> None:
    keys = fixed_keys(["one"], ["two"])
    found = [find_key(keys, given) for given in ("one", "two", "three")]
    assert [key.is_admin if key else None for key in found] == [False, True, None]


def test_a_running_server_takes_note_and_heeds_scopes(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    narrow = file.make(Key("", "narrow", "", models=("two",)))
    admin = file.make(Key("", "boss", "", is_admin=True))
    body = {"model": "script", "messages": [{"role": "user", "content": "a"}]}
    with serving(Script(), Script(name="two"), given=Given(keys=file.path)) as url, httpx.Client(base_url=url) as web:

        def ask(key: str, model: str = "script") -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return web.post("/v1/chat/completions", json={**body, "model": model}, headers=headers)

        def listed(key: str) -> list[str]:
            reply = web.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            return [row["id"] for row in reply.json()["data"]]

        assert ask(narrow, "two").status_code == 200
        refused = ask(narrow)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
        assert (listed(narrow), listed(admin)) == (["two"], ["script", "two"])
        assert web.get("/admin/state", headers={"Authorization": f"Bearer {narrow}"}).status_code == 403
        assert web.get("/admin/state", headers={"Authorization": f"Bearer {admin}"}).status_code == 200
        assert web.get("/health/ready").json() == {"status": "ready"}
        assert "models" in web.get("/health/ready", headers={"Authorization": f"Bearer {admin}"}).json()
        assert web.get("/metrics").status_code == 401
        file.revoke("narrow")
        assert ask(narrow, "two").status_code == 401
        fresh = file.make(Key("", "late", ""))
        assert ask(fresh).status_code == 200
