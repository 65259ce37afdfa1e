"""Adapters on the CPU engine: exact, each in its own pipeline, and refused where they would be left out in silence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine.local import open_local
from luthier.engine.openvino_adapter import write_adapter
from luthier.engine.openvino_open import open_openvino
from luthier.engine.ports import Prompt, Sampling
from luthier.errors import ModelError
from luthier.event import hush
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec

pytest.importorskip("openvino_genai", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

GREEDY = Sampling(max_tokens=16, temperature=0)
PROMPTS: list[Prompt] = [(Message("user", f"Say the number {number}"),) for number in range(6)]


def adapter_on(folder: Path, out: Path, config: Any) -> Path:
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    get_peft_model(model, config).save_pretrained(out)
    return out


def test_an_adapter_is_exact_and_its_base_answers_as_before(
    tiny_model: Artifact, tiny_store: Store, tmp_path: Path
) -> None:
    artifact = quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, tiny_store, hush)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules="all-linear",
        init_lora_weights=False,
        rank_pattern={"q_proj": 2},
        alpha_pattern={"layers.1.mlp.up_proj": 3},
    )
    adapter = adapter_on(tiny_model.folder, tmp_path / "adapter", config)
    base = open_openvino(artifact.folder, name="base")
    tuned = open_openvino(artifact.folder, name="tuned", adapter=adapter)
    try:
        found = tuned.answer(PROMPTS, GREEDY)
        plain = base.answer(PROMPTS, GREEDY)
        streamed = [list(tuned.stream(prompt, GREEDY, lambda: False))[-1].answer for prompt in PROMPTS]
    finally:
        base.close()
        tuned.close()
    theirs = open_local(tiny_model.folder, name="tuned", adapter=adapter, dtype="float32", device="cpu")
    assert found == streamed == theirs.answer(PROMPTS, GREEDY)
    assert plain == open_local(tiny_model.folder, name="b", dtype="float32", device="cpu").answer(PROMPTS, GREEDY)
    assert [one.token_ids for one in plain] != [one.token_ids for one in found]


def test_the_scale_of_each_layer_is_in_its_second_factor(tiny_model: Artifact, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj"], init_lora_weights=False)
    adapter = adapter_on(tiny_model.folder, tmp_path / "adapter", config)
    before = load_file(adapter / "adapter_model.safetensors")
    after = load_file(write_adapter(adapter, tiny_model.folder, tmp_path))
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        by_hand = 6 / 4**0.5 if ".lora_B." in name else 1.0
        assert torch.allclose(tensor, before[name] * by_hand)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (LoraConfig(r=2, target_modules=["q_proj"], use_dora=True), "use_dora"),
        (LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]), "modules_to_save"),
        (IA3Config(target_modules=["k_proj"], feedforward_modules=[]), "IA3"),
    ],
    ids=["dora", "head", "ia3"],
)
def test_what_is_no_plain_lora_is_refused(tiny_model: Artifact, tmp_path: Path, config: Any, why: str) -> None:
    adapter = adapter_on(tiny_model.folder, tmp_path / "adapter", config)
    with pytest.raises(ModelError) as caught:
        write_adapter(adapter, tiny_model.folder, tmp_path)
    assert why in caught.value.what
    assert caught.value.where == str(adapter)
    assert "--engine transformers" in caught.value.mend


@pytest.mark.parametrize(
    ("key", "value", "why"), [("num_hidden_layers", 1, "has layer 1"), ("hidden_size", 96, "the base has 96")]
)
def test_an_adapter_of_another_base_is_refused(
    tiny_model: Artifact, tmp_path: Path, key: str, value: int, why: str
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapter = adapter_on(tiny_model.folder, tmp_path / "adapter", config)
    other = Path(shutil.copytree(tiny_model.folder, tmp_path / "other"))
    path = other / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelError, match=why):
        write_adapter(adapter, other, tmp_path)
