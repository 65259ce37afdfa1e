"""Our lean LoRA against PEFT's own."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from luthier.artifact.store import Artifact
from luthier.model.adapt import add_lora, trainable
from luthier.model.load import load_causal
from luthier.model.lora import LeanLora, lean

IDS = torch.tensor([[5, 9, 300, 41, 7, 7, 12]])


def _adapted(model: Artifact, targets: str | tuple[str, ...] = "all-linear") -> nn.Module:
    inner = load_causal(model.folder, dtype="float32", device="cpu")
    adapted: nn.Module = add_lora(inner, r=4, alpha=8, dropout=0.0, targets=targets, seed=1)
    torch.manual_seed(7)
    for name, parameter in trainable(adapted):
        if "lora_B" in name:  # zero at the start: nothing would be seen
            nn.init.normal_(parameter, std=0.05)
    return adapted


def _loss(adapted: nn.Module) -> torch.Tensor:
    loss: torch.Tensor = adapted(input_ids=IDS, labels=IDS).loss
    torch.autograd.backward(loss)
    return loss.detach()


@pytest.mark.parametrize(("targets", "count"), [("all-linear", 14), (("q_proj", "v_proj", "down_proj"), 6)])
def test_lean_layers_give_pefts_loss_and_gradients(
    targets: str | tuple[str, ...], count: int, tiny_model: Artifact
) -> None:
    theirs, ours = _adapted(tiny_model, targets), _adapted(tiny_model, targets)
    assert lean(ours) == count  # 2 layers
    torch.testing.assert_close(_loss(ours), _loss(theirs), rtol=1e-6, atol=1e-6)
    expected = dict(trainable(theirs))
    found = dict(trainable(ours))
    assert len(found) == 2 * count
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-6)


def test_layers_with_one_input_are_computed_at_once_and_keep_nothing(tiny_model: Artifact) -> None:
    adapted = _adapted(tiny_model)
    lean(adapted)
    groups = {id(m.siblings): m.siblings for m in adapted.modules() if isinstance(m, LeanLora) and m.siblings}
    assert sorted(len(group.members) for group in groups.values()) == [2, 2, 3, 3]
    _loss(adapted)
    for group in groups.values():
        assert not group.apart
        assert group._input is None
        assert not group._answers


def test_siblings_called_with_other_inputs_answer_each_by_itself(tiny_model: Artifact) -> None:
    adapted = _adapted(tiny_model)
    peft = {
        name: m for name, m in adapted.named_modules() if name.endswith(("layers.0.mlp.gate_proj", "0.mlp.up_proj"))
    }
    gate, up = (peft[name] for name in sorted(peft))
    one, other = torch.randn(2, 3, 64), torch.randn(2, 3, 64)
    with torch.no_grad():
        expected = gate(one), up(other), gate(other)
        lean(adapted)
        gate, up = (adapted.get_submodule(name) for name in sorted(peft))
        found = gate(one), up(other), gate(other)
    for our, their in zip(found, expected, strict=True):
        torch.testing.assert_close(our, their)
    assert isinstance(gate, LeanLora)
    assert gate.siblings is not None
    assert gate.siblings.apart


def test_no_gradient_is_made_below_the_first_adapter_nor_for_frozen_weights(tiny_model: Artifact) -> None:
    adapted = _adapted(tiny_model)
    lean(adapted)
    _loss(adapted)
    changed = {name for name, _ in trainable(adapted)}
    assert all(parameter.grad is None for name, parameter in adapted.named_parameters() if name not in changed)
    hidden = torch.randn(5, 64)
    layer = next(module for module in adapted.modules() if isinstance(module, LeanLora))
    assert layer(hidden).grad_fn.next_functions[0][0].next_functions[0][0] is None


def test_a_layer_with_dropout_stays_pefts(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = add_lora(model, r=2, alpha=4, dropout=0.1, targets="all-linear", seed=0)
    assert lean(adapted) == 0
    assert not any(isinstance(module, LeanLora) for module in adapted.modules())


def test_layers_of_gpt2_which_are_no_linears_keep_working() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_positions=32, n_embd=16, n_layer=1, n_head=2))
    adapted = add_lora(model, r=2, alpha=4, dropout=0.0, targets=("c_attn",), seed=0)
    assert lean(adapted) == 0
    assert _loss(adapted) > 0
