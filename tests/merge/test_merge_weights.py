"""Several adapters in one: shown by PEFT's own ways of doing the same, and by what must come out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import drawn
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact, Store
from luthier.errors import ModelError
from luthier.merge.weights import average, merge_one, merge_several
from luthier.model.load import load_causal

IDS = torch.tensor([[1, 607, 269, 201, 820, 318, 262, 469, 374, 460, 91, 361, 275, 33, 2, 201, 1, 354, 604]])
NAME = "model.layers.0.mlp.up_proj.weight"


def logits(model: Any) -> Any:
    """In float64: the sums of float32 alone differ by 1e-5 with their order."""
    with torch.no_grad():
        return model.double()(IDS).logits[0]


@pytest.fixture(scope="session")
def pair(tiny_model: Artifact, tiny_store: Store) -> list[Path]:
    return [drawn(tiny_model, tiny_store, 1).folder, drawn(tiny_model, tiny_store, 2, r=6).folder]


def several(model: Artifact, adapters: list[Path], way: str, weights: list[float], density: float = 0.5) -> Any:
    base = load_causal(model.folder, dtype="float32", device="cpu")
    return merge_several(base, adapters, way, weights, density)


def test_linear_is_pefts_exact_sum_of_the_changes(tiny_model: Artifact, pair: list[Path]) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, pair[0])
    adapted.load_adapter(pair[1], adapter_name="two")
    adapted.add_weighted_adapter(["default", "two"], [0.7, 0.4], "both", combination_type="cat")
    adapted.set_adapter("both")
    wanted = logits(adapted)
    assert (wanted - logits(several(tiny_model, pair, "linear", [0.7, 0.4]))).abs().max() < 1e-5


def test_ties_of_an_adapter_with_itself_at_full_density_is_that_adapter(tiny_model: Artifact, pair: list[Path]) -> None:
    found = several(tiny_model, [pair[0], pair[0]], "ties", [1.0, 1.0], 1.0)
    wanted = merge_one(load_causal(tiny_model.folder, dtype="float32", device="cpu"), pair[0])
    assert (logits(wanted) - logits(found)).abs().max() < 1e-5


def test_ties_keeps_the_share_of_the_largest_changes_it_is_told_to(tiny_model: Artifact, pair: list[Path]) -> None:
    found = several(tiny_model, [pair[0], pair[0]], "ties", [1.0, 1.0], 0.25).state_dict()[NAME]
    before = load_causal(tiny_model.folder, dtype="float32", device="cpu").state_dict()[NAME]
    whole = merge_one(load_causal(tiny_model.folder, dtype="float32", device="cpu"), pair[0]).state_dict()[NAME]
    kept = (found - before).abs() > 1e-9
    assert kept.float().mean().item() == pytest.approx(0.25, abs=0.01)
    change = (whole - before).abs()
    assert change[kept].min() >= change[~kept].max() - 1e-7


def test_dare_drops_by_the_seed_of_torch(tiny_model: Artifact, pair: list[Path]) -> None:
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        found.append(several(tiny_model, pair, "dare_linear", [0.5, 0.5]).state_dict()[NAME])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_models_are_averaged_weight_by_weight_and_other_shapes_are_refused() -> None:
    one, two = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}
    assert average([lambda: one, lambda: two], [0.25, 0.75])["w"].tolist() == [2.5, 5.0]
    with pytest.raises(ModelError) as caught:
        average([lambda: one, lambda: {"w": torch.zeros(3)}], [0.5, 0.5])
    assert caught.value.where == "model 2"


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_head_that_was_tied_and_trained_whole_parts_from_the_embeddings(tiny_model: Artifact, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)
    assert base.config.tie_word_embeddings
    config = LoraConfig(target_modules="all-linear", modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=draw) * 0.02
    wanted = logits(model)
    model.float().save_pretrained(tmp_path / "adapter")
    merged = merge_one(load_causal(tiny_model.folder, dtype="float32", device="cpu"), tmp_path / "adapter")
    merged.save_pretrained(tmp_path / "merged")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert (logits(opened) - wanted).abs().max() < 1e-4
    embedded = opened.get_input_embeddings().weight
    assert torch.equal(embedded, base.get_input_embeddings().weight.to(embedded.dtype))


def test_virtual_tokens_are_no_change_of_weights(tiny_model: Artifact, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)
    model = get_peft_model(base, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "virtual")
    with pytest.raises(ModelError) as caught:
        merge_one(load_causal(tiny_model.folder, dtype="float32", device="cpu"), tmp_path / "virtual")
    assert "virtual tokens" in caught.value.what
    assert caught.value.mend == "serve it as the adapter it is"
