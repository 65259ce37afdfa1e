"""Narrow weights in transformers' form: what lies in the folder is what bitsandbytes itself makes of the model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bitsandbytes import functional
from transformers import AutoModelForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine import certificate
from luthier.engine.ports import Sampling, Scorer
from luthier.engine.probe import probes
from luthier.errors import KindError, StoreError
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
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
