"""Own weights: masters in float32 learn what bfloat16 would round away; what changed goes to disk and comes back."""

from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.artifact.store import Artifact
from luthier.errors import ModelError
from luthier.model.load import load_adapted, load_causal
from luthier.model.methods import Wishes, put_on
from luthier.model.own_weights import Masters, save_changed


def test_masters_learn_steps_that_bfloat16_rounds_away() -> None:
    # beside 1.0 bfloat16 knows no number nearer than 2 ** -8: a step of 0.001 would be lost every time
    weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    masters = Masters({"weight": weight})
    optimizer = torch.optim.SGD(masters.named.values(), lr=0.001)
    for _ in range(10):
        torch.autograd.backward(weight.sum())
        assert weight.grad is None
        optimizer.step()
        optimizer.zero_grad()
        masters.show()
    torch.testing.assert_close(masters.named["weight"].detach(), torch.full((4,), 0.99))
    torch.testing.assert_close(weight.detach().float(), torch.full((4,), 0.99), atol=2**-8, rtol=0)


def test_gradients_of_several_passes_are_summed_in_float32() -> None:
    weight = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    masters = Masters({"weight": weight})
    for scale in (256.0, 1.0, 1.0):  # 256 + 1 is 256 in bfloat16
        torch.autograd.backward(weight.float().sum() * scale)
    assert masters.named["weight"].grad is not None
    assert masters.named["weight"].grad.item() == 258.0


def test_float32_weights_are_their_own_masters() -> None:
    weight = nn.Parameter(torch.zeros(2))
    assert Masters({"weight": weight}).named["weight"] is weight


def test_what_changed_comes_back_on_the_base_and_nothing_else_is_written(tiny_model: Artifact, tmp_path: Path) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    put_on(model, "freeze", Wishes(layers=1), seed=0)
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.no_grad():
        for parameter in named.values():
            parameter.add_(0.01)
    save_changed(named, tmp_path, tiny_model.id, "freeze")
    again = load_adapted(load_causal(tiny_model.folder, dtype="float32", device="cpu"), tmp_path)
    ids = torch.arange(5, 20)[None]
    assert torch.equal(model(ids).logits, again(ids).logits)
    assert (tmp_path / "changed.safetensors").stat().st_size < 0.5 * (
        tiny_model.folder / "model.safetensors"
    ).stat().st_size


def test_weights_of_another_model_are_refused(tiny_model: Artifact, tmp_path: Path) -> None:
    save_changed({"model.norm.weight": torch.zeros(7)}, tmp_path, "other", "full")
    with pytest.raises(ModelError, match=r"model.norm.weight has the shape \(7,\), the model \(64,\)") as caught:
        load_adapted(load_causal(tiny_model.folder, dtype="float32", device="cpu"), tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "base it was made with" in caught.value.mend
