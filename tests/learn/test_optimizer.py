"""Optimizers: each against another library's, or a hand calculation."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from luthier.errors import SpecError, ToolError
from luthier.learn.optimizer import OPTIMIZERS, Group, open_optimizers


def _named() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return {
        "layer.weight": nn.Parameter(torch.randn(96, 80, generator=generator)),
        "layer.bias": nn.Parameter(torch.randn(96, generator=generator)),
    }


def _gradients(named: dict[str, nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in named.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_adamw_is_torchs_own() -> None:
    named, others = _named(), _named()
    optimizers = open_optimizers("adamw", named, decay=0.0)
    reference = torch.optim.AdamW(others.values(), lr=0.01, weight_decay=0.0)
    for step in range(4):
        _gradients(named, step)
        _gradients(others, step)
        optimizers.step(0.01)
        optimizers.forget()
        reference.step()
    for name, parameter in named.items():
        assert torch.equal(parameter, others[name])


@pytest.mark.parametrize("kind", [kind for kind, row in OPTIMIZERS.items() if not row.devices])
def test_every_optimizer_walks_downhill(kind: str) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(96, 80))
    target = torch.randn(96, 80)
    optimizers = open_optimizers(kind, {"weight": weight}, decay=0.0)
    before = float((weight.detach() - target).square().mean())
    for _ in range(40):
        torch.autograd.backward((weight - target).square().mean() * 100)
        optimizers.step(0.02)
        optimizers.forget()
    assert float((weight.detach() - target).square().mean()) < 0.9 * before


def test_vectors_do_not_decay_and_matrices_do() -> None:
    named = _named()
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    optimizers = open_optimizers("adamw", named, decay=0.5)
    for parameter in named.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step(0.1)
    optimizers.forget()
    torch.testing.assert_close(named["layer.weight"].detach(), before["layer.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(named["layer.bias"], before["layer.bias"])


def test_a_share_of_the_rate_moves_a_parameter_as_much_further() -> None:
    # Adam's first step is rate * sign(gradient), whatever the gradient
    named = {"a": nn.Parameter(torch.zeros(2, 2)), "b": nn.Parameter(torch.zeros(2, 2))}
    optimizers = open_optimizers("adamw", named, decay=0.0, shares=lambda name: 16.0 if name == "b" else 1.0)
    for parameter in named.values():
        parameter.grad = torch.ones(2, 2)
    optimizers.step(0.001)
    optimizers.forget()
    torch.testing.assert_close(named["b"].detach(), named["a"].detach() * 16)


def test_adafactor_moves_zeros_at_its_rate_as_adamw_does() -> None:
    # B of a LoRA begins as zeros; the first update is the gradient over its own root mean square
    moved = {}
    for kind in ("adamw", "adafactor"):
        weight = nn.Parameter(torch.zeros(8, 4))
        optimizers = open_optimizers(kind, {"weight": weight}, decay=0.0)
        weight.grad = torch.full((8, 4), 0.5)
        optimizers.step(0.002)
        moved[kind] = weight.detach()
    torch.testing.assert_close(moved["adamw"], torch.full((8, 4), -0.002))
    torch.testing.assert_close(moved["adafactor"], moved["adamw"])


@pytest.mark.parametrize("kind", ["muon", "galore"])
def test_embeddings_are_left_to_adamw(kind: str) -> None:
    named = {name: nn.Parameter(torch.ones(96, 80)) for name in ("embed", "layer")}
    optimizers = open_optimizers(kind, named, decay=0.0, tables={"embed"})
    for step in range(2):
        for parameter in named.values():
            parameter.grad = torch.randn(96, 80, generator=torch.Generator().manual_seed(step))
        optimizers.step(0.01)
    reference = nn.Parameter(torch.ones(96, 80))
    adamw = torch.optim.AdamW([reference], lr=0.01, weight_decay=0.0)
    for step in range(2):
        reference.grad = torch.randn(96, 80, generator=torch.Generator().manual_seed(step))
        adamw.step()
    assert torch.equal(named["embed"], reference)
    assert not torch.allclose(named["layer"], reference)


def test_galore_equals_the_authors_package(monkeypatch: pytest.MonkeyPatch) -> None:
    galore_torch = pytest.importorskip("galore_torch", reason="the authors' package is not installed")
    named, others = _named(), _named()
    ours = open_optimizers("galore", named, decay=0.0)
    group = {"params": [others["layer.weight"]], "rank": 64, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"}
    theirs = galore_torch.GaLoreAdamW([group], lr=0.01, eps=1e-8, no_deprecation_warning=True)
    for step in range(4):
        _gradients(named, step)
        _gradients(others, step)
        ours.step(0.01)
        ours.forget()
        theirs.step()
    torch.testing.assert_close(named["layer.weight"], others["layer.weight"], rtol=1e-4, atol=1e-5)


def test_an_unknown_optimizer_names_those_there_are() -> None:
    with pytest.raises(SpecError, match="no optimizer 'adm'") as caught:
        open_optimizers("adm", _named(), decay=0.0)
    assert caught.value.where == "key learn.optimizer"
    assert "adamw" in caught.value.mend


def test_a_device_it_does_not_work_on_is_refused() -> None:
    with pytest.raises(SpecError, match="works on cuda only, this run is on cpu") as caught:
        open_optimizers("paged_adamw_8bit", _named(), decay=0.0)
    assert "adamw_8bit" in caught.value.mend


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    make: Callable[[list[Group]], object] = OPTIMIZERS["lion"].make
    with pytest.raises(ToolError) as caught:
        make([])
    assert "luthier[quantize]" in caught.value.mend
