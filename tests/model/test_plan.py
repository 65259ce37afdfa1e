"""Shapes read from headers against the model in memory."""

import struct
from pathlib import Path

import pytest
from architectures import ARCHITECTURES, make_model
from torch import nn

from luthier.artifact.store import Artifact
from luthier.errors import ModelError
from luthier.model.load import load_causal
from luthier.model.plan import headers, read_shapes
from luthier.model.skeleton import open_skeleton, shapes_of


def test_shapes_are_those_of_the_model_in_memory(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    shapes = read_shapes(tiny_model.folder)
    assert shapes.parameters == sum(parameter.numel() for parameter in model.parameters())
    linears = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"]
    assert sorted((layer.outputs, layer.inputs) for layer in shapes.linear) == sorted(
        (m.out_features, m.in_features) for m in linears
    )
    assert (shapes.layers, shapes.hidden, shapes.vocabulary) == (
        model.config.num_hidden_layers,
        model.config.hidden_size,
        model.config.vocab_size,
    )


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 10**9) + b"{}", struct.pack("<Q", 2) + b"[]"])
def test_a_file_that_is_cut_off_or_no_safetensors_is_said_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        headers(path)
    assert caught.value.where == str(path)
    assert caught.value.mend == "fetch the model again"


def test_a_file_whose_data_end_early_is_refused(tiny_model: Artifact, tmp_path: Path) -> None:
    whole = (tiny_model.folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=f"should have {len(whole)} bytes and has {len(whole) - 1}"):
        headers(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_headers_and_a_model_without_weights_give_the_same_shapes(name: str, tmp_path: Path) -> None:
    make_model(name, tmp_path)
    found, built = read_shapes(tmp_path), shapes_of(open_skeleton(tmp_path))
    assert found.parameters == built.parameters
    assert sorted((layer.outputs, layer.inputs) for layer in found.linear) == sorted(
        (layer.outputs, layer.inputs) for layer in built.linear
    )
    assert (found.layers, found.hidden, found.vocabulary) == (built.layers, built.hidden, built.vocabulary)


def test_a_config_transformers_does_not_know_and_no_weights_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}', encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        read_shapes(tmp_path)
    assert caught.value.where == str(tmp_path / "config.json")
    assert caught.value.mend.startswith("plan with its weights beside it")


def test_a_skeleton_of_fewer_layers_has_the_first_ones(tiny_model: Artifact) -> None:
    shapes = shapes_of(open_skeleton(tiny_model.folder, layers=1))
    assert shapes.layers == 1
    assert {shapes.of_layer(layer.name) for layer in shapes.linear} == {0}
