"""Pickled weights become safetensors, bit for bit, and models in them say what they said before."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import make_model
from local_hub import NAME, serving
from safetensors.torch import load_file, save_file

from luthier.artifact import atomic
from luthier.artifact.store import Store
from luthier.cli.main import main
from luthier.errors import ModelError, RoomError, SpecError
from luthier.event import Chose, Event, Progress, hush
from luthier.fetch.convert import convert
from luthier.fetch.model_files import PICKLED, PICKLED_INDEX, SHARD_INDEX, WEIGHTS
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model.load import load_causal

State = dict[str, torch.Tensor]
IDS = torch.tensor([[1, 40, 50, 60, 2, 70]])


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = load_causal(folder, dtype="float32", device="cpu")(IDS).logits
    return found


def pickled(folder: Path, change: Callable[[State], State] = dict, name: str = PICKLED, **how: Any) -> torch.Tensor:
    """Save the model of a folder anew as older repositories have it. Gives the logits it had."""
    model = load_causal(folder, dtype="float32", device="cpu")
    with torch.no_grad():
        before: torch.Tensor = model(IDS).logits
    torch.save(change(model.state_dict()), folder / name, **how)
    (folder / WEIGHTS).unlink()
    return before


def as_the_hub_has_gpt2(state: State) -> State:
    """The first GPT-2: no prefix, no head of its own, the causal mask among the weights."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in state.items() if name != "lm_head.weight"}
    mask = torch.tril(torch.ones(512, 512)).view(1, 1, 512, 512)
    return bare | {f"h.{layer}.attn.bias": mask.clone() for layer in range(2)}


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    make_model("qwen2", tmp_path / "qwen")
    return tmp_path / "qwen"


OLD = [("gpt2", as_the_hub_has_gpt2, False), ("bloom", dict, False), ("qwen2", dict, True)]


@pytest.mark.parametrize(("name", "change", "is_zip"), OLD, ids=[row[0] for row in OLD])
def test_a_pickled_model_is_fetched_and_says_what_it_said(
    name: str, change: Callable[[State], State], is_zip: bool, tmp_path: Path, store: Store, told: list[Event]
) -> None:
    folder = tmp_path / name
    make_model(name, folder)
    before = pickled(folder, change, _use_new_zipfile_serialization=is_zip)
    (folder / "training_args.bin").write_bytes(b"pickled")
    made = fetch(FetchSpec(source=str(folder), convert=True), store, told.append)
    assert torch.equal(logits(made.folder), before)
    assert not list(made.folder.glob("*.bin*"))
    assert made.card.figures["converted_from"] == {PICKLED: f"sha256:{atomic.sha256(folder / PICKLED)}"}
    choices = {event.what: event.value for event in told if isinstance(event, Chose)}
    assert choices["weights"] == f"safetensors, from {PICKLED}"
    assert choices["files left out"] == "training_args.bin"
    assert "network of the conversion" in choices
    assert "memory of the conversion" in choices
    assert [event.done for event in told if isinstance(event, Progress) and event.what == "convert"]


def test_every_tensor_keeps_its_name_its_format_and_its_bits(qwen: Path) -> None:
    odd = {
        "nan": torch.tensor([0x7FC00001, -1, 0x7F800001], dtype=torch.int32).view(torch.float32),
        "minus.zero": torch.tensor([-0.0, 0.0]),
        "half": torch.randn(3, 5).bfloat16(),
        "turned": torch.randn(4, 6).t(),
        "part": torch.randn(9)[2:5],
        "scalar": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "mask": torch.tensor([True, False]),
        "small": torch.randn(8).to(torch.float8_e4m3fn),
        "model.lager.权重": torch.randn(2),
        "learned": torch.nn.Parameter(torch.randn(2)),
    }
    (qwen / WEIGHTS).unlink()
    torch.save(odd, qwen / PICKLED)
    convert(qwen, hush)
    written = load_file(qwen / WEIGHTS)
    assert set(written) == set(odd)
    for name, tensor in odd.items():
        assert (written[name].dtype, written[name].shape) == (tensor.dtype, tensor.shape)
        raw = (each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (written[name], tensor))
        assert torch.equal(*raw)


def test_shards_stay_shards_and_a_large_file_becomes_several(qwen: Path, told: list[Event]) -> None:
    model = load_causal(qwen, dtype="float32", device="cpu")
    before, state = logits(qwen), dict(model.state_dict())
    names = sorted(state)
    halves = {f"pytorch_model-0000{n + 1}-of-00002.bin": names[n::2] for n in range(2)}
    for shard, held in halves.items():
        torch.save({name: state[name] for name in held}, qwen / shard)
    shards = {name: shard for shard, held in halves.items() for name in held}
    (qwen / PICKLED_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    (qwen / WEIGHTS).unlink()
    figures = convert(qwen, told.append, shard_bytes=200_000)
    assert set(figures["converted_from"]) == set(halves)
    assert torch.equal(logits(qwen), before)
    index = json.loads((qwen / SHARD_INDEX).read_text())
    files = sorted(qwen.glob("*.safetensors"))
    assert set(index["weight_map"]) == set(names)
    assert {file.name for file in files} == set(index["weight_map"].values())
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in state.values())
    assert not (qwen / PICKLED_INDEX).exists()
    progress = [event for event in told if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total


def test_a_plain_state_dict_by_another_name_is_taken(qwen: Path, store: Store) -> None:
    before = pickled(qwen, name="final.pt")
    made = fetch(FetchSpec(source=str(qwen), convert=True), store, hush)
    assert torch.equal(logits(made.folder), before)


def test_tied_weights_are_written_once_as_transformers_does(qwen: Path) -> None:
    settings = json.loads((qwen / "config.json").read_text())
    (qwen / "config.json").write_text(json.dumps(settings | {"tie_word_embeddings": True}))
    once = {name: tensor for name, tensor in load_file(qwen / WEIGHTS).items() if name != "lm_head.weight"}
    save_file(once, qwen / WEIGHTS, metadata={"format": "pt"})
    before = pickled(qwen)
    assert "lm_head.weight" in torch.load(qwen / PICKLED, weights_only=True)
    figures = convert(qwen, hush)
    assert figures["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}
    assert set(load_file(qwen / WEIGHTS)) == set(once)
    assert torch.equal(logits(qwen), before)


def test_shared_memory_of_an_untied_model_is_written_twice(qwen: Path) -> None:
    before = pickled(qwen, lambda state: state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    assert "tied" not in convert(qwen, hush)
    written = load_file(qwen / WEIGHTS)
    assert torch.equal(written["lm_head.weight"], written["model.embed_tokens.weight"])
    assert not torch.equal(logits(qwen), before)  # it had another head before it was shared
    assert torch.isfinite(logits(qwen)).all()


def test_without_convert_the_pickle_is_refused_with_the_way_out(qwen: Path, store: Store) -> None:
    pickled(qwen)
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model\.bin\)") as caught:
        fetch(FetchSpec(source=str(qwen)), store, hush)
    assert caught.value.where == str(qwen)
    assert "convert=true" in caught.value.mend
    assert "--convert" in caught.value.mend


def test_safetensors_are_taken_before_pickles(qwen: Path, store: Store) -> None:
    (qwen / PICKLED).write_bytes(b"anything")
    made = fetch(FetchSpec(source=str(qwen), convert=True), store, hush)
    assert not (made.folder / PICKLED).exists()
    assert "converted_from" not in made.card.figures


def test_where_two_pickles_could_be_the_weights_one_must_be_left_out(qwen: Path, store: Store) -> None:
    before = pickled(qwen, name="final.pt")
    shutil.copy(qwen / "final.pt", qwen / "first.pt")
    with pytest.raises(ModelError, match=r"2 pickles could be the weights: final\.pt, first\.pt") as caught:
        fetch(FetchSpec(source=str(qwen), convert=True), store, hush)
    assert "exclude" in caught.value.mend
    made = fetch(FetchSpec(source=str(qwen), convert=True, exclude=("first.pt",)), store, hush)
    assert torch.equal(logits(made.folder), before)


def test_a_source_without_pickles_refuses_the_setting(store: Store) -> None:
    with pytest.raises(SpecError, match="no effect on tiny:llama") as caught:
        fetch(FetchSpec(source="tiny:llama", convert=True), store, hush)
    assert caught.value.where == "fetch, key convert"


def test_a_missing_shard_is_named_before_anything_is_read(qwen: Path) -> None:
    (qwen / WEIGHTS).unlink()
    torch.save({"a": torch.zeros(1)}, qwen / "pytorch_model-00001-of-00002.bin")
    shards = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (qwen / PICKLED_INDEX).write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match=r"missing: pytorch_model-00002-of-00002\.bin") as caught:
        convert(qwen, hush)
    assert caught.value.where == str(qwen / PICKLED_INDEX)
    assert "download the model again" in caught.value.mend


def test_a_weight_the_list_promises_and_no_file_holds_is_named(qwen: Path) -> None:
    (qwen / WEIGHTS).unlink()
    torch.save({"a": torch.zeros(1)}, qwen / "pytorch_model-00001-of-00001.bin")
    shards = dict.fromkeys("ab", "pytorch_model-00001-of-00001.bin")
    (qwen / PICKLED_INDEX).write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match="1 weights are in no file: b") as caught:
        convert(qwen, hush)
    assert (caught.value.where, caught.value.mend) == (str(qwen / PICKLED_INDEX), "download it again")


def test_a_disk_without_room_for_the_copy_is_told_before(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled(qwen)
    usage = shutil.disk_usage(qwen)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(RoomError, match="10 are free") as caught:
        convert(qwen, hush)
    assert caught.value.where == str(qwen)
    assert "luthier remove" in caught.value.mend


@pytest.mark.parametrize(("is_linked", "copies"), [(False, 1), (True, 2)])
def test_shards_that_lie_in_the_download_too_free_nothing_when_they_go(
    qwen: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool, copies: int
) -> None:
    (qwen / WEIGHTS).unlink()
    halves = {name: f"pytorch_model-0000{n}-of-00002.bin" for n, name in enumerate("ab", 1)}
    for name, shard in halves.items():
        torch.save({name: torch.zeros(1000)}, qwen / shard)
        if is_linked:
            (qwen.parent / shard).hardlink_to(qwen / shard)
    (qwen / PICKLED_INDEX).write_text(json.dumps({"weight_map": halves}))
    size = (qwen / halves["a"]).stat().st_size
    usage = shutil.disk_usage(qwen)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=copies * size - 1))
    with pytest.raises(RoomError, match=f"takes {copies * size:,} more bytes"):
        convert(qwen, hush)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=copies * size))
    assert convert(qwen, hush)["converted_from"]


def test_of_a_cut_pickle_the_file_of_the_user_is_named(qwen: Path, store: Store) -> None:
    pickled(qwen)
    whole = (qwen / PICKLED).read_bytes()
    (qwen / PICKLED).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is not converted: it cannot be read: ") as caught:
        fetch(FetchSpec(source=str(qwen), convert=True), store, hush)
    assert caught.value.where == str(qwen / PICKLED)
    assert caught.value.what.endswith((".", " ..."))


def test_of_a_cut_pickle_of_a_hub_its_address_is_named(
    qwen: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    pickled(qwen)
    files = {path.name: path.read_bytes() for path in qwen.iterdir()}
    with serving(files | {PICKLED: files[PICKLED][:5000]}) as hub, pytest.raises(ModelError) as caught:
        fetch(FetchSpec(source=NAME, endpoint=hub.address, convert=True), store, hush)
    assert caught.value.where == f"{hub.address}/{NAME}/{PICKLED}"


def test_a_project_named_by_a_relative_path_converts_too(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pickled(qwen)
    monkeypatch.chdir(qwen.parent)
    convert(Path(qwen.name), hush)
    assert torch.equal(logits(qwen), before)


def test_a_pickled_model_of_a_hub_is_converted_and_the_download_stays_whole(
    qwen: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    before = pickled(qwen)
    files = {path.name: path.read_bytes() for path in qwen.iterdir()}
    with serving(files | {"optimizer.pt": b"pickled"}) as hub:
        made = fetch(FetchSpec(source=NAME, endpoint=hub.address, convert=True), store, hush)
    assert torch.equal(logits(made.folder), before)
    sha256 = hashlib.sha256(files[PICKLED]).hexdigest()
    assert made.card.figures["converted_from"] == {PICKLED: f"sha256:{sha256}"}
    assert not (made.folder / PICKLED).exists()


def test_the_flag_is_the_setting(qwen: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = pickled(qwen)
    main(["--project", str(store.root), "fetch", str(qwen), "--convert"])
    made = store.find(capsys.readouterr().out.strip())
    assert made.card.spec["convert"] is True
    assert torch.equal(logits(made.folder), before)
