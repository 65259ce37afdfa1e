"""Adapters are put on, saved and read back in PEFT's form."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact
from luthier.errors import ModelError, SpecError
from luthier.model.adapt import add_lora, load_adapter_weights, save_adapter, trainable
from luthier.model.load import load_causal
from luthier.model.lora import lean

IDS = torch.tensor([[5, 9, 300, 41, 7, 7, 12]])


def _adapted(folder: Path, targets: str | tuple[str, ...] = "all-linear", seed: int = 1) -> nn.Module:
    model = load_causal(folder, dtype="float32", device="cpu")
    adapted: nn.Module = add_lora(model, r=4, alpha=8, dropout=0.0, targets=targets, seed=seed)
    torch.manual_seed(7)
    for name, parameter in trainable(adapted):
        if "lora_B" in name:  # zero at the start: nothing would be seen
            nn.init.normal_(parameter, std=0.05)
    return adapted


def test_a_saved_adapter_loads_in_plain_peft_and_gives_the_same_logits(tiny_model: Artifact, tmp_path: Path) -> None:
    adapted = _adapted(tiny_model.folder)
    lean(adapted)
    save_adapter(adapted, tmp_path, base="somewhere")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model.folder), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(adapted(IDS).logits, plain(IDS).logits, rtol=1e-5, atol=1e-5)


def test_saving_twice_gives_the_same_bytes_and_loading_gives_them_back(tiny_model: Artifact, tmp_path: Path) -> None:
    adapted, other = _adapted(tiny_model.folder), _adapted(tiny_model.folder, seed=2)
    lean(adapted)
    lean(other)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    save_adapter(adapted, first, base="b")
    load_adapter_weights(other, first)
    save_adapter(other, second, base="b")
    names = sorted(path.name for path in first.iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    assert len(load_file(first / "adapter_model.safetensors")) == 28
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_an_unknown_target_names_the_layers_there_are(tiny_model: Artifact) -> None:
    with pytest.raises(SpecError) as caught:
        _adapted(tiny_model.folder, targets=("query_proj",))
    assert caught.value.where == "key adapter.targets"
    assert "q_proj" in caught.value.mend


def test_an_adapter_of_another_shape_is_refused(tiny_model: Artifact, tmp_path: Path) -> None:
    save_adapter(_adapted(tiny_model.folder), tmp_path, base="b")
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    wider = add_lora(model, r=8, alpha=8, dropout=0.0, targets="all-linear", seed=0)
    with pytest.raises(ModelError) as caught:
        load_adapter_weights(wider, tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "settings it was made with" in caught.value.mend


def test_the_start_is_drawn_from_the_seed_and_leaves_others_draws_alone(tiny_model: Artifact) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = _first_a(tiny_model, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one, _first_a(tiny_model, seed=1))
    assert not torch.equal(one, _first_a(tiny_model, seed=2))


def _first_a(tiny_model: Artifact, seed: int) -> torch.Tensor:
    state = torch.random.get_rng_state()
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    torch.random.set_rng_state(state)
    adapted = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear", seed=seed)
    return next(parameter.detach() for name, parameter in trainable(adapted) if "lora_A" in name)
