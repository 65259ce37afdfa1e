"""Narrow weights in transformers' form: what lies in the folder is what bitsandbytes itself makes of the model."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes import functional
from transformers import AutoModelForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine import certificate
from luthier.engine.ports import Sampling, Scorer
from luthier.engine.probe import probes
from luthier.errors import KindError, StoreError, ToolError
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model import quantized
from luthier.model.load import PICKLES, load_causal
from luthier.model.machine import choose_dtype
from luthier.quantize import kinds
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec
from luthier.recipe.openers import open_artifact

LAYER = "model.layers.0.mlp.down_proj"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let certificates ask little."""
    monkeypatch.setattr(certificate, "ANSWER_TOKENS", 6)
    for name, texts in probes().items():
        monkeypatch.setitem(probes(), name, texts[-2:])


def four_bits(weight: Any) -> Any:
    codes, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    return functional.dequantize_4bit(codes, state)


def eight_bits(weight: Any) -> Any:
    codes, scales, _ = functional.int8_vectorwise_quant(weight.half())  # as its layers do
    return codes.float() * scales[:, None] / 127


@pytest.mark.parametrize(("kind", "by_hand"), [("nf4", four_bits), ("int8", eight_bits)])
def test_the_folder_holds_what_bitsandbytes_makes(
    tiny_model: Artifact, tiny_store: Store, kind: str, by_hand: Any
) -> None:
    made = quantize(QuantizeSpec(kind=kind, refuse=False), tiny_model, tiny_store, hush)
    narrow = AutoModelForCausalLM.from_pretrained(made.folder).dequantize()
    found = narrow.get_submodule(LAYER).weight  # bfloat16 where the machine computes in it
    wide = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=found.dtype)
    wanted = by_hand(wide.get_submodule(LAYER).weight.data).to(found.dtype)
    assert (found.float() - wanted.float()).abs().max() < 1e-5
    assert (found.float() - wide.get_submodule(LAYER).weight).abs().max() > 1e-4
    shown = made.card.figures["certificate"]
    assert shown["passed"] is (kind == "int8")  # 4 bits are too few for weights that were drawn, not learned
    assert shown["bytes"] < shown["reference_bytes"]
    assert shown["kl"] > 0


@pytest.mark.skipif(
    find_spec("torchao") is None, reason="pip install 'luthier[torchao]': PEFT imports it at every start"
)
def test_torchao_rounds_each_output_to_nearest_and_is_read_from_safetensors(
    tiny_model: Artifact, tiny_store: Store
) -> None:
    made = quantize(QuantizeSpec(kind="torchao-int8", refuse=False), tiny_model, tiny_store, hush)
    assert not [path for pattern in PICKLES for path in made.folder.glob(pattern)]
    found = load_causal(made.folder, dtype="float32", device="cpu").get_submodule(LAYER).weight.dequantize()
    wide = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32).get_submodule(LAYER).weight
    dtype = choose_dtype("cpu").value  # what its scales are kept in
    weight = wide.detach().to(getattr(torch, dtype)).float()
    scale = weight.abs().amax(dim=1, keepdim=True) / 127.5
    assert (found.float() - weight).abs().max() <= scale.max()
    assert (found.float() - weight).abs().max() > 0
    shown = made.card.figures["certificate"]
    assert shown["near_agreement"] > 0.95  # its weights are drawn, not learned: many tokens are all but equally likely
    assert shown["bytes"] < shown["reference_bytes"]
    [answer] = open_artifact(tiny_store, made).answer([(Message("user", "Hello"),)], Sampling(4, temperature=0), hush)
    assert 0 < len(answer.token_ids) <= 4


def test_what_is_not_installed_is_named_with_its_extra(
    tiny_model: Artifact, tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind="torchao-int8"), tiny_model, tiny_store, hush)
    assert caught.value.what == "kind=torchao-int8 needs the package torchao, which is not installed"
    assert caught.value.mend == "pip install 'luthier[torchao]'"


def test_a_folder_of_torchao_weights_names_the_extra_that_reads_it(
    tiny_model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "narrow"
    shutil.copytree(tiny_model.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "torchao"}}))
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        load_causal(folder, dtype="float32", device="cpu")
    assert caught.value.where == str(folder)
    assert caught.value.mend == "pip install 'luthier[torchao]'"


def test_it_answers_and_is_scored_like_any_model(tiny_model: Artifact, tiny_store: Store) -> None:
    made = quantize(QuantizeSpec(kind="int8"), tiny_model, tiny_store, hush)
    model = open_artifact(tiny_store, made, dtype="float32")
    [answer] = model.answer([(Message("user", "Hello"),)], Sampling(max_tokens=4, temperature=0), hush)
    assert 0 < len(answer.token_ids) <= 4
    assert isinstance(model, Scorer)


def test_what_is_narrow_is_not_made_narrow_again(tiny_model: Artifact, tiny_store: Store, store: Store) -> None:
    made = quantize(QuantizeSpec(kind="int8"), tiny_model, tiny_store, hush)
    with pytest.raises(KindError, match="of the kind 'quantized', not 'model'"):
        quantize(QuantizeSpec(kind="nf4"), made, tiny_store, hush)
    brought = fetch(FetchSpec(source=str(made.folder)), store, hush)
    with pytest.raises(KindError, match="quantised already \\(bitsandbytes\\)") as caught:
        quantize(QuantizeSpec(kind="openvino-q8"), brought, store, hush)
    assert caught.value.where == str(brought.folder / "config.json")
    assert "that it was made from" in caught.value.mend


def test_one_altered_on_disk_is_found(tiny_model: Artifact, tiny_store: Store, tmp_path: Path) -> None:
    made = quantize(QuantizeSpec(kind="int8"), tiny_model, tiny_store, hush)
    other = Store(tmp_path / "copy")
    shutil.copytree(tiny_store.artifacts / made.id, other.artifacts / made.id)
    copy = other.find(made.id)
    other.verify(copy)
    config = copy.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rope_theta": 1.0}))
    with pytest.raises(StoreError, match=r"config\.json of .* differs from its checksum") as caught:
        other.verify(copy)
    assert "make it again" in caught.value.mend
