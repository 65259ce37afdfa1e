"""Every way to tune: it trains what its paper says, lowers the loss, and touches nothing else."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, make_model
from torch import nn

from luthier.artifact.store import Artifact
from luthier.errors import SpecError
from luthier.model.load import load_causal
from luthier.model.methods import METHODS, Wishes, linears, put_on

IDS = torch.arange(5, 45)[None]
WISHES = Wishes(r=4, alpha=8, tokens=4, layers=1, steps=20)


def _loss(model: Any) -> torch.Tensor:
    logits = model(input_ids=IDS, use_cache=False).logits[0, -IDS.shape[1] :]
    return nn.functional.cross_entropy(logits[:-1].float(), IDS[0, 1:])


def _digest(parameter: torch.Tensor) -> str:
    return hashlib.sha256(parameter.detach().numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("kind", sorted(METHODS))
def test_a_method_lowers_the_loss_and_touches_only_what_it_may(kind: str, tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = put_on(model, kind, WISHES, seed=0)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    frozen = {name: _digest(p) for name, p in adapted.named_parameters() if not p.requires_grad}
    assert trained
    assert all(parameter.dtype == torch.float32 for parameter in trained)
    rate = {"prefix": 0.3, "prompt": 0.3, "p_tuning": 0.03, "vera": 0.05, "ia3": 0.05}.get(kind, 0.01)
    optimizer = torch.optim.AdamW(trained, lr=rate)
    adapted.train()
    losses = []
    for _ in range(12):
        loss = _loss(adapted)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.02, losses
    assert {name: _digest(p) for name, p in adapted.named_parameters() if not p.requires_grad} == frozen


def _trained(kind: str, folder: Path, wishes: Wishes) -> int:
    adapted = put_on(load_causal(folder, dtype="float32", device="cpu"), kind, wishes, seed=0)
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


def test_trained_parameters_are_those_of_the_papers_formulas(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    shapes = [module.weight.shape for name, module in linears(model) if "lm_head" not in name]
    lora = sum(4 * (outputs + inputs) for outputs, inputs in shapes)  # r (d + k) for each matrix
    count = {kind: _trained(kind, tiny_model.folder, WISHES) for kind in METHODS}
    assert count["lora"] == count["rslora"] == count["pissa"] == count["lora_plus"] == lora
    assert count["dora"] == lora + sum(outputs for outputs, _ in shapes)  # a length for each output
    assert count["vera"] == sum(outputs + 4 for outputs, _ in shapes)  # two vectors, d and b
    assert count["adalora"] == sum(6 * (outputs + inputs + 1) for outputs, inputs in shapes)  # init_r = 6, and lambda
    assert count["ia3"] == 2 * (32 + 32 + 160)  # keys, values and the MLP's inner width in each of 2 layers
    assert count["prompt"] == 4 * 64
    assert count["prefix"] == 4 * 2 * 2 * 32  # keys and values of 2 heads of 16, in each of 2 layers
    assert count["full"] == sum(parameter.numel() for parameter in model.parameters())
    assert count["freeze"] == sum(p.numel() for name, p in model.named_parameters() if ".layers.1." in name)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lora_fits_every_architecture(name: str, tmp_path: Path) -> None:
    make_model(name, tmp_path)
    adapted = put_on(load_causal(tmp_path, dtype="float32", device="cpu"), "lora", WISHES, seed=0)
    before = _loss(adapted)
    torch.autograd.backward(before)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert trained
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained)


def test_a_target_that_matches_nothing_lists_the_nearest_first(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    with pytest.raises(SpecError, match="no layer is called 'q_porj'") as caught:
        put_on(model, "lora", Wishes(targets=("q_porj",)), seed=0)
    assert caught.value.where == "key adapter.targets"
    assert caught.value.mend.startswith("this model has: q_proj")


def test_an_r_larger_than_every_layer_is_refused(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    with pytest.raises(SpecError, match=r"adapter.r is 500") as caught:
        put_on(model, "lora", Wishes(r=500), seed=0)
    assert caught.value.where == "key adapter.r"
    assert "at most 64" in caught.value.mend


def test_more_layers_than_there_are_is_refused(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    with pytest.raises(SpecError, match=r"adapter.layers is 3, the model has 2") as caught:
        put_on(model, "freeze", Wishes(layers=3), seed=0)
    assert caught.value.mend == "set 1 to 2"


def test_a_pattern_chooses_layers_by_their_whole_names(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = put_on(model, "lora", Wishes(r=2, targets=(r"re:.*layers\.1\..*q_proj", "k_proj")), seed=0)
    names = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad and "lora_A" in name}
    assert len(names) == 3  # q of the second layer, k of both
    assert not any("layers.0" in name and "q_proj" in name for name in names)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens", "mlp", "input_layernorm"])
def test_a_module_trained_whole_stands_among_narrower_weights(name: str, tiny_model: Artifact) -> None:
    ids = torch.arange(12)[None]
    model = load_causal(tiny_model.folder, dtype="bfloat16", device="cpu")
    expected = model(input_ids=ids).logits.float()
    adapted = put_on(model, "lora", replace(WISHES, save=(name,)), seed=0)
    whole = [p for p_name, p in adapted.named_parameters() if "modules_to_save" in p_name and p.requires_grad]
    assert whole
    assert {parameter.dtype for parameter in whole} == {torch.float32}
    logits = adapted(input_ids=ids).logits
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, rtol=2e-2, atol=8e-2)  # steps of 2**-5 at values from 4 on
    torch.autograd.backward(logits.float().square().mean())
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in whole)
