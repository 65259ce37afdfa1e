"""Each tiny model opens as a user's would, thinks in finite numbers, and is small."""

from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, make_model
from transformers import AutoTokenizer

from luthier.model.load import load_causal

LARGEST_BYTES = 2_000_000


def test_the_list_of_architectures_holds_those_that_people_use() -> None:
    assert {"llama", "qwen2", "qwen3", "qwen3_moe", "gpt2", "glm", "gemma", "phi", "mistral", "bloom"} <= set(
        ARCHITECTURES
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_tiny_model_loads_and_its_logits_are_finite(name: str, tmp_path: Path) -> None:
    make_model(name, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < LARGEST_BYTES
    model = load_causal(tmp_path, dtype="float32", device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2 + 2? 你好"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits
    assert logits.shape == (1, ids.shape[1], len(tokenizer))
    assert bool(torch.isfinite(logits).all())
    assert logits.float().std() > 0.05  # no model that says nothing


def test_the_same_weights_come_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_model("gpt2", tmp_path / name)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert first == second
