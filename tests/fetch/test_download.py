"""Fetching from a hub: a real server on this machine that speaks the protocol."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from local_hub import COMMIT, NAME, Hub, serving
from safetensors.numpy import save

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, ModelError, RoomError
from luthier.event import Chose, Event, Progress, hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec

FETCH = """
import json, sys
from luthier.artifact.store import Store
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
fetch(FetchSpec(**json.loads(sys.argv[1])), Store(sys.argv[2]), print)
"""
"""Fetches in a process of its own: the spec as JSON, the store; tells on stdout."""


@pytest.fixture
def hub(tiny_model: Artifact) -> Iterator[Hub]:
    """A hub that holds the tiny model, pickles and second copies beside it."""
    files = {path.name: path.read_bytes() for path in tiny_model.folder.iterdir() if path.name != "card.json"}
    files |= {"pytorch_model.bin": b"pickled", "onnx/model.json": b"{}", "modeling_violin.py": b"raise SystemExit"}
    with serving(files) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


def spec_of(hub: Hub, **more: object) -> FetchSpec:
    return FetchSpec.model_validate({"source": NAME, "endpoint": hub.address, **more})


def test_a_model_of_the_hub_arrives_byte_for_byte_with_its_commit(hub: Hub, store: Store, told: list[Event]) -> None:
    made = fetch(spec_of(hub), store, told.append)
    names = {path.name for path in made.folder.iterdir()} - {"card.json"}
    assert names == set(hub.files) - {"pytorch_model.bin", "onnx/model.json", "modeling_violin.py"}
    assert all((made.folder / name).read_bytes() == hub.files[name] for name in names)
    assert made.card.figures["commit"] == COMMIT
    assert Chose("commit", COMMIT, "what main stands for right now") in told
    assert Chose("files left out", "pytorch_model.bin", "pickles are never taken") in told
    total = sum(len(hub.files[name]) for name in names)
    assert [event for event in told if isinstance(event, Progress)][-1] == Progress("download", total, total, "bytes")
    assert not [path for path in store.work.iterdir() if path.is_dir()]  # the cache is gone


def test_what_was_fetched_once_never_asks_the_hub_again(hub: Hub, store: Store) -> None:
    fetch(spec_of(hub), store, hush)
    hub.asked.clear()
    hub.refusal = (500, {})
    assert fetch(spec_of(hub), store, hush).exists
    assert hub.asked == []


def test_a_dry_store_asks_nothing(hub: Hub, tmp_path: Path) -> None:
    assert not fetch(spec_of(hub), Store(tmp_path, dry=True), hush).exists
    assert hub.asked == []


def test_the_token_is_sent_and_stored_nowhere(
    hub: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    fetch(spec_of(hub), store, told.append)
    assert any(headers.get("authorization") == "Bearer hf_verysecret" for _, _, headers in hub.asked)
    assert any(isinstance(event, Chose) and event.what == "token" for event in told)
    assert "hf_verysecret" not in repr(told)
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert files
    assert not any(b"hf_verysecret" in path.read_bytes() for path in files)


REFUSALS = [
    (401, {"X-Error-Code": "RepoNotFound"}, "no model 'maker/violin'", "HF_TOKEN"),
    (404, {"X-Error-Code": "RepoNotFound"}, "no model 'maker/violin'", "./maker/violin"),
    (403, {"X-Error-Code": "GatedRepo"}, "gated", "accept its terms"),
    (403, {}, "forbids", "right to read"),
    (404, {"X-Error-Code": "RevisionNotFound"}, "no revision None", "/tree/main"),
    (418, {}, "status 418", "set endpoint"),
]


@pytest.mark.parametrize(("status", "headers", "what", "mend"), REFUSALS)
def test_a_refusal_says_what_where_and_mend(
    hub: Hub, store: Store, status: int, headers: dict[str, str], what: str, mend: str
) -> None:
    hub.refusal = (status, headers)
    with pytest.raises(FetchError) as caught:
        fetch(spec_of(hub), store, hush)
    assert what in caught.value.what
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert mend in caught.value.mend
    assert not store.cards()


def test_a_name_no_hub_can_have_is_refused(hub: Hub, store: Store) -> None:
    with pytest.raises(FetchError, match="cannot be a name") as caught:
        fetch(FetchSpec(source="hub:a--b/c/d", endpoint=hub.address), store, hush)
    assert (caught.value.where, caught.value.mend) == ("fetch, key source", "write owner/name")
    assert hub.asked == []


def test_a_hub_that_may_not_be_asked_is_told(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="may not be asked") as caught:
        fetch(spec_of(hub), store, hush)
    assert (caught.value.where, caught.value.mend) == ("HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE")


def test_without_an_endpoint_the_environment_names_the_hub_and_is_told(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: huggingface_hub reads HF_ENDPOINT once, when it is imported."""
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    command = [sys.executable, "-c", FETCH, json.dumps({"source": NAME}), str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert repr(Chose("hub", hub.address, "HF_ENDPOINT says so")) in done.stdout
    made = fetch(FetchSpec(source=NAME), store, hush)
    assert made.card.figures["hub"] == f"{hub.address}/{NAME}"


def test_a_hub_that_cannot_be_reached_is_told_with_a_way_out(store: Store) -> None:
    with pytest.raises(FetchError, match="cannot be reached") as caught:
        fetch(FetchSpec(source=NAME, endpoint="http://127.0.0.1:9"), store, hush)
    assert "127.0.0.1:9" in caught.value.where
    assert "endpoint" in caught.value.mend


def test_a_model_without_safetensors_is_refused_before_a_byte_is_loaded(hub: Hub, store: Store) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model.bin\)") as caught:
        fetch(spec_of(hub), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert "safetensors" in caught.value.mend
    assert not [path for _, path, _ in hub.asked if hub.file_of(path)]


def test_other_bytes_than_promised_are_refused_and_not_kept(hub: Hub, store: Store) -> None:
    true = hub.files["model.safetensors"]
    hub.instead["model.safetensors"] = true[:-1] + bytes([true[-1] ^ 1])
    with pytest.raises(FetchError, match="not what the hub promised") as caught:
        fetch(spec_of(hub), store, hush)
    assert "model.safetensors" in caught.value.where
    assert "same command again" in caught.value.mend
    hub.instead.clear()
    assert fetch(spec_of(hub), store, hush).exists


def test_a_model_larger_than_the_disk_is_refused_before_it_is_loaded(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(RoomError, match="1,000 are free") as caught:
        fetch(spec_of(hub), store, hush)
    assert str(store.work) in caught.value.where
    assert "luthier remove" in caught.value.mend


def test_a_kill_while_loading_leaves_no_artifact_and_whole_files_are_not_loaded_again(hub: Hub, store: Store) -> None:
    hub.files["model.safetensors"] = save({"weight": np.zeros(500_000, np.float32)})
    hub.stall_at = 1_000_000
    request = json.dumps({"source": NAME, "endpoint": hub.address})
    child = subprocess.Popen([sys.executable, "-c", FETCH, request, str(store.root)])
    small = {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"}
    try:
        assert hub.stalled.wait(60)
        wait_until(lambda: {path.name for path in store.work.glob("*/hub/*/snapshots/*/*")} >= small)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not store.cards()
    assert list(store.work.glob("*/hub/*/blobs/*.incomplete"))
    hub.stall_at = None
    before = len(hub.asked)
    made = fetch(spec_of(hub), store, hush)
    assert (made.folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert [hub.file_of(path) for method, path, _ in hub.asked[before:] if method == "GET" and hub.file_of(path)] == [
        "model.safetensors"
    ]


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
