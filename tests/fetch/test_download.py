"""Fetching from a hub: a real server on this machine that speaks the protocol."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from gguf_writer import write_gguf
from local_hub import COMMIT, NAME, Hub, serving
from safetensors.torch import load

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, ModelError, RoomError, SpecError
from luthier.event import Chose, Event, Progress, hush
from luthier.fetch.patience import Patience
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec

FETCH = """
import json, sys
from safetensors.torch import load

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
def _no_token_and_little_patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", Patience(attempts=3, first_wait_seconds=0.01))
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
    assert made.card.figures["bytes"] == total
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


def everything_written(store: Store) -> bytes:
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert files
    return b"".join(path.read_bytes() for path in files)


def test_the_token_is_sent_to_the_hub_only_and_stored_nowhere(
    hub: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    fetch(spec_of(hub), store, told.append)
    assert hub.asked
    assert all(headers.get("authorization") == "Bearer hf_verysecret" for _, _, headers in hub.asked)
    assert [path for _, path, _ in hub.asked_store] == ["/model.safetensors"]
    assert not any("authorization" in headers for _, _, headers in hub.asked_store)
    assert any(isinstance(event, Chose) and event.what == "token" for event in told)
    assert "hf_verysecret" not in repr(told)
    assert "X-Amz-Signature" not in repr(told)
    assert b"hf_verysecret" not in everything_written(store)


def test_a_token_of_a_file_goes_before_that_of_the_environment(
    hub: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    (tmp_path / "token").write_text("hf_verysecret\n")
    made = fetch(spec_of(hub, token_file=str(tmp_path / "token")), store, told.append)
    assert {headers["authorization"] for _, _, headers in hub.asked} == {"Bearer hf_verysecret"}
    assert b"hf_verysecret" not in everything_written(store)
    assert "hf_verysecret" not in repr(told)
    assert fetch(spec_of(hub), store, hush).id == made.id  # how it is fetched is no part of what it is


@pytest.mark.parametrize(("content", "what"), [(None, "cannot be read"), ("", "0 words"), ("token: hf_a", "2 words")])
def test_a_token_file_that_holds_no_token_is_refused(
    hub: Hub, store: Store, tmp_path: Path, content: str | None, what: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(SpecError, match=what) as caught:
        fetch(spec_of(hub, token_file=str(tmp_path / "token")), store, hush)
    assert caught.value.where == f"fetch, key token_file, {tmp_path / 'token'}"
    assert "nothing else" in caught.value.mend
    assert hub.asked == []


REFUSALS = [
    (401, {"X-Error-Code": "RepoNotFound"}, "no model 'maker/violin'", "HF_TOKEN"),
    (404, {"X-Error-Code": "RepoNotFound"}, "no model 'maker/violin'", "./maker/violin"),
    (403, {"X-Error-Code": "GatedRepo"}, "gated", "accept its terms"),
    (403, {}, "forbids", "right to read"),
    (404, {"X-Error-Code": "RevisionNotFound"}, "no revision 'main'", "one of those listed"),
    (404, {}, "no model 'maker/violin'", "HF_TOKEN"),
    (401, {}, "wants one", "hf auth login"),
    (451, {}, "in your country", "another source"),
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


@pytest.mark.slow
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


def test_an_endpoint_with_a_password_is_refused_and_not_told(
    hub: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = hub.address.replace("http://", "http://me:hf_secret@")
    with pytest.raises(SpecError, match="may be a secret") as caught:
        fetch(FetchSpec(source=NAME, endpoint=address), store, told.append)
    assert caught.value.where == "fetch, key endpoint"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    with pytest.raises(SpecError, match="may be a secret") as of_environment:
        fetch(FetchSpec(source=NAME), store, told.append)
    assert of_environment.value.where == "HF_ENDPOINT"
    assert "token_file" in of_environment.value.mend
    assert "hf_secret" not in f"{caught.value} {of_environment.value} {told}"
    assert hub.asked == []


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


def test_a_config_that_the_patterns_leave_out_is_told_as_such(hub: Hub, store: Store) -> None:
    with pytest.raises(ModelError, match=r"include and exclude leave out config\.json") as caught:
        fetch(spec_of(hub, include="*.bin"), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert "include" in caught.value.mend


def test_other_bytes_than_promised_are_refused_and_not_kept(hub: Hub, store: Store) -> None:
    true = hub.files["model.safetensors"]
    hub.instead["model.safetensors"] = true[:-1] + bytes([true[-1] ^ 1])
    with pytest.raises(FetchError, match="not what was promised: its SHA-256 is not") as caught:
        fetch(spec_of(hub), store, hush)
    assert [path for _, path, _ in hub.asked_store] == ["/model.safetensors"] * 2  # one fresh attempt
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


def test_a_small_file_is_checked_by_the_name_git_gives_it(hub: Hub, store: Store, told: list[Event]) -> None:
    true = hub.files["config.json"]
    hub.instead["config.json"] = true.replace(b"512", b"513")
    hub.instead_once = True
    made = fetch(spec_of(hub), store, told.append)
    assert (made.folder / "config.json").read_bytes() == true
    again = [event for event in told if isinstance(event, Chose) and event.what == "download once more"]
    assert [event.value for event in again] == ["config.json"]
    assert "git SHA-1" in again[0].why


def test_a_listing_of_many_pages_is_read_to_its_end_and_on_the_mirror(hub: Hub, store: Store) -> None:
    hub.entries_per_page = 2
    hub.tree_host = "https://huggingface.co"  # as a mirror passes it on
    made = fetch(spec_of(hub), store, hush)
    assert len([path for _, path, _ in hub.asked if "/tree/" in path]) == -(-len(hub.tree()) // 2)
    assert made.card.figures["files"] == 6


def test_a_mirror_without_a_tree_is_asked_for_the_repository_as_a_whole(
    hub: Hub, store: Store, told: list[Event]
) -> None:
    hub.has_tree = False
    made = fetch(spec_of(hub), store, told.append)
    assert (made.folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    why = f"{hub.address} has no tree of files"
    assert Chose("listing", "of the repository as a whole", why) in told


def test_a_file_name_that_leads_out_of_the_folder_is_refused(hub: Hub, store: Store) -> None:
    hub.files["../evil.json"] = b"{}"
    with pytest.raises(FetchError, match="leads out of the folder") as caught:
        fetch(spec_of(hub, exclude=()), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert "do not trust" in caught.value.mend
    assert not list(store.root.rglob("evil.json"))


def test_a_revision_that_is_not_there_is_named(hub: Hub, store: Store) -> None:
    with pytest.raises(FetchError, match="no revision 'v9'") as caught:
        fetch(spec_of(hub, revision="v9"), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"


def test_a_control_character_in_a_file_name_is_refused(hub: Hub, store: Store) -> None:
    hub.files["\x1b[31mred.json"] = b"{}"
    with pytest.raises(FetchError, match="is not one to write to a disk") as caught:
        fetch(spec_of(hub), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert "do not trust" in caught.value.mend
    assert "\x1b" not in str(caught.value)


def test_a_commit_that_was_asked_for_is_told_as_such(hub: Hub, store: Store, told: list[Event]) -> None:
    fetch(spec_of(hub, revision=COMMIT), store, told.append)
    assert Chose("commit", COMMIT, "revision says so") in told


def test_a_commit_is_a_revision(hub: Hub, store: Store) -> None:
    assert fetch(spec_of(hub, revision=COMMIT), store, hush).card.figures["commit"] == COMMIT


def test_a_browsers_address_of_a_model_is_understood(hub: Hub, store: Store) -> None:
    made = fetch(FetchSpec(source=f"{hub.address}/{NAME}/tree/main"), store, hush)
    assert made.kind == "model"
    assert made.card.figures["hub"] == f"{hub.address}/{NAME}"


@pytest.mark.parametrize("form", ["{name}/{file}", "{hub}/{name}/blob/main/{file}", "{hub}/{name}/resolve/main/{file}"])
def test_one_file_of_rows_is_fetched_alone(hub: Hub, store: Store, form: str) -> None:
    hub.files["data/rows 1.jsonl"] = b'{"a": 1}\n'
    hub.entries_per_page = 3
    file = "data/rows 1.jsonl" if form.startswith("{name}") else "data/rows%201.jsonl"
    source = form.format(hub=hub.address, name=NAME, file=file)
    more = {"endpoint": hub.address} if form.startswith("{name}") else {}
    made = fetch(FetchSpec.model_validate({"source": source, **more}), store, hush)
    assert made.kind == "rows"
    assert (made.folder / "data/rows 1.jsonl").read_bytes() == b'{"a": 1}\n'
    assert made.card.figures["file"] == "data/rows 1.jsonl"
    assert [hub.file_of(path) for _, path, _ in hub.asked if hub.file_of(path)] == ["data/rows 1.jsonl"]


def test_a_file_that_is_not_there_names_the_nearest(hub: Hub, store: Store) -> None:
    hub.files["train.jsonl"] = b"{}"
    with pytest.raises(FetchError, match=r"no file 'trian.jsonl'") as caught:
        fetch(spec_of(hub, source=f"{NAME}/trian.jsonl"), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}"
    assert caught.value.mend == "did you mean train.jsonl?"


def test_a_repository_of_data_becomes_rows_as_they_are(store: Store) -> None:
    files = {
        "data/train-00000.parquet": b"PAR1 train",
        "data/test.csv": b"a,b\n1,2\n",
        "more.jsonl.gz": b"packed",
        "README.md": b"# rows",
        "dataset_infos.json": b"{}",
        "script.py": b"raise SystemExit",
    }
    with serving(files, "datasets") as hub:
        made = fetch(FetchSpec(source=f"dataset:{NAME}", endpoint=hub.address), store, hush)
        assert made.kind == "rows"
        assert made.card.figures["commit"] == COMMIT
        assert made.card.figures["hub"] == f"{hub.address}/datasets/{NAME}"
        taken = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
        assert taken == {"data/train-00000.parquet", "data/test.csv", "more.jsonl.gz", "card.json"}
        assert all((made.folder / name).read_bytes() == files[name] for name in taken - {"card.json"})
        some = fetch(FetchSpec(source=f"{hub.address}/datasets/{NAME}", include=("*.csv",)), store, hush)
        assert {path.name for path in some.folder.rglob("*.*")} == {"test.csv", "card.json"}
        with pytest.raises(FetchError, match="none of its 6 files") as caught:
            fetch(FetchSpec(source=f"dataset:{NAME}", endpoint=hub.address, include=("*.md",)), store, hush)
    assert caught.value.where == f"{hub.address}/datasets/{NAME}"
    assert "data/test.csv" in caught.value.mend


def test_a_gguf_of_a_hub_becomes_a_plain_model(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    write_gguf(tiny_model.folder, tmp_path / "violin.gguf")
    with serving({"violin.gguf": (tmp_path / "violin.gguf").read_bytes(), "README.md": b""}) as hub:
        made = fetch(FetchSpec(source=f"{NAME}/violin.gguf", endpoint=hub.address), store, hush)
    assert made.kind == "model"
    assert (made.folder / "model.safetensors").exists()
    assert made.card.figures["file"] == "violin.gguf"


def test_pickles_are_taken_from_a_hub_to_be_converted(hub: Hub, store: Store) -> None:
    weights = load(hub.files.pop("model.safetensors"))
    packed = io.BytesIO()
    torch.save(weights, packed)
    hub.files["pytorch_model.bin"] = packed.getvalue()
    made = fetch(spec_of(hub, convert=True), store, hush)
    assert not (made.folder / "pytorch_model.bin").exists()
    converted = load((made.folder / "model.safetensors").read_bytes())
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_a_proxy_of_the_environment_is_told_without_its_password(
    hub: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch(spec_of(hub), store, told.append)
    assert Chose("http proxy", "127.0.0.1", "the environment says so") in told
    assert "secret" not in repr(told)
