"""Fetching a local folder: what is copied, what is refused, and what the id hangs on."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, ModelError, RoomError
from luthier.event import Chose, Event, Progress, hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


@pytest.fixture
def folder(tiny_model: Artifact, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be spoiled."""
    place = tmp_path / "violin"
    shutil.copytree(tiny_model.folder, place, ignore=shutil.ignore_patterns("card.json"))
    return place


def fetch_folder(folder: Path, store: Store, **more: object) -> Artifact:
    return fetch(FetchSpec.model_validate({"source": str(folder), **more}), store, hush)


def test_the_copy_is_the_folder_byte_for_byte(folder: Path, store: Store, told: list[Event]) -> None:
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    made = fetch(FetchSpec(source=str(folder)), store, told.append)
    names = {path.name for path in folder.iterdir()} - {"training_args.bin", "onnx"}
    assert {path.name for path in made.folder.iterdir()} == names | {"card.json"}
    assert all((made.folder / name).read_bytes() == (folder / name).read_bytes() for name in names)
    assert Chose("files left out", "training_args.bin", "pickles are never taken") in told
    progress = [event for event in told if isinstance(event, Progress)]
    assert len(progress) == len(names)
    assert progress[-1].done == progress[-1].total == sum((folder / name).stat().st_size for name in names)


def test_the_same_content_gives_the_same_id_and_another_content_another(folder: Path, store: Store) -> None:
    first = fetch_folder(folder, store)
    (folder / "config.json").touch()
    assert fetch_folder(folder, store).id == first.id
    path = folder / "generation_config.json"
    path.write_text(path.read_text().replace("false", "true"))
    assert fetch_folder(folder, store).id != first.id


def test_linked_weights_are_not_copied_and_are_sealed_like_others(folder: Path, store: Store) -> None:
    made = fetch_folder(folder, store, link=True)
    assert (made.folder / "model.safetensors").readlink() == folder / "model.safetensors"
    assert not (made.folder / "config.json").is_symlink()
    store.verify(made)


def test_patterns_say_what_is_taken(folder: Path, store: Store) -> None:
    (folder / "second.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "notes.md").write_text("notes")
    made = fetch_folder(folder, store, include=("*",), exclude=("second*",))
    assert (made.folder / "notes.md").exists()
    assert not (made.folder / "second.safetensors").exists()


def test_a_missing_folder_is_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(FetchError, match="does not exist") as caught:
        fetch_folder(tmp_path / "nowhere", store)
    assert caught.value.where == str(tmp_path / "nowhere")
    assert "owner/name" in caught.value.mend


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, store: Store) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(FetchError, match=r"neither a folder nor a \.gguf file") as caught:
        fetch_folder(tmp_path / "model.onnx", store)
    assert "folder of a model" in caught.value.mend


SPOILED = [
    ("config.json", "no config.json", "as transformers saves it"),
    ("tokenizer.json", "no tokenizer", "tokenizer.json and tokenizer_config.json"),
    ("model.safetensors", "no model.safetensors", "save_pretrained"),
]


@pytest.mark.parametrize(("removed", "what", "mend"), SPOILED)
def test_a_folder_that_is_not_whole_is_refused(folder: Path, store: Store, removed: str, what: str, mend: str) -> None:
    (folder / removed).unlink()
    with pytest.raises(ModelError) as caught:
        fetch_folder(folder, store)
    assert what in caught.value.what
    assert caught.value.where == str(folder)
    assert mend in caught.value.mend
    assert not store.root.exists()


def test_a_folder_of_pickles_is_refused_with_a_way_out(folder: Path, store: Store) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model\.bin\)") as caught:
        fetch_folder(folder, store, include=("*",))
    assert caught.value.where == str(folder)
    assert "convert=true" in caught.value.mend


def test_truncated_weights_are_refused(folder: Path, store: Store) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged or cut short") as caught:
        fetch_folder(folder, store)
    assert caught.value.where == str(path)
    assert "download it again" in caught.value.mend


def test_a_missing_shard_is_named(folder: Path, store: Store) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}))
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors") as caught:
        fetch_folder(folder, store)
    assert caught.value.where == str(index)
    assert "missing files" in caught.value.mend


def test_an_index_that_lists_nothing_is_refused(folder: Path, store: Store) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text("[]")
    with pytest.raises(ModelError, match="not a list of shards") as caught:
        fetch_folder(folder, store)
    assert (caught.value.where, caught.value.mend) == (str(index), "download it again")


def test_a_full_disk_is_told_and_leaves_no_artifact(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("shutil.copyfile", refuse)
        with pytest.raises(RoomError, match="disk is full") as caught:
            fetch_folder(folder, store)
    assert str(store.root) in caught.value.where
    assert "luthier remove" in caught.value.mend
    assert not store.cards()
    assert fetch_folder(folder, store).exists
