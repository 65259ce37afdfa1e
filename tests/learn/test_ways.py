"""Each way a pass may be computed gives what plain transformers gives, on every architecture."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, make_model

from luthier.artifact.tokens import Tokens
from luthier.event import Chose, Event
from luthier.learn.objective import Supervised, packed_loss, plain_loss
from luthier.learn.ways import Ways, supervised
from luthier.model.adapt import add_lora, trainable
from luthier.model.compile import cache_folder, choose_compile
from luthier.model.load import load_causal
from luthier.model.lora import lean

NARROW = {"llama", "qwen2", "qwen3", "qwen3_moe", "glm", "gemma", "mistral"}
"""Those whose last layer is norm, attention, norm, MLP."""
GATED = {"llama", "qwen2", "qwen3", "mistral"}
"""Those whose MLP is down(silu(gate) * up), from three linear layers."""
APART = {"bloom"}
"""Those that tell positions by other means than ids: one row at a time."""
Gradients = dict[str, torch.Tensor]


def _rows(*, weights: bool = False) -> list[Tokens]:
    """Rows of uneven length that begin with the same 18 tokens."""
    draw = np.random.default_rng(5)
    shared = draw.integers(3, 500, 18)
    rows = []
    for length in (9, 3, 25, 14):
        ids = np.concatenate([shared, draw.integers(3, 500, length)]).astype(np.int32)
        mask = np.arange(len(ids)) >= 20
        rows.append(Tokens(ids, mask, draw.random(len(ids), np.float32) if weights else None))
    return rows


TARGETS: dict[str, tuple[str, ...]] = {"qwen3_moe": ("q_proj", "k_proj", "v_proj", "o_proj")}
"""Where not every linear layer: experts lie in one tensor, of which PEFT warns that they are no linear layers."""


def _adapted(folder: Path, name: str = "llama") -> Any:
    model = load_causal(folder, dtype="float32", device="cpu")
    adapted = add_lora(model, r=4, alpha=8, dropout=0.0, targets=TARGETS.get(name, "all-linear"), seed=0)
    torch.manual_seed(3)
    for name, parameter in trainable(adapted):
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    lean(adapted)
    return adapted.eval()


def _gradients(adapted: Any, loss: torch.Tensor) -> Gradients:
    torch.autograd.backward(loss)
    found = {name: parameter.grad.clone() for name, parameter in trainable(adapted) if parameter.grad is not None}
    adapted.zero_grad(set_to_none=True)
    return found


def _assert_same(found: Gradients, expected: Gradients) -> None:
    assert expected
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=2e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_learns_what_plain_transformers_would(name: str, tmp_path: Path, told: list[Event]) -> None:
    make_model(name, tmp_path)
    adapted = _adapted(tmp_path, name)
    inner, rows = adapted.get_base_model(), _rows(weights=True)
    loss = plain_loss(inner, rows)
    expected = _gradients(adapted, loss)
    objective = supervised(inner, rows, 10_000, told.append)
    chosen = {event.what: event.value for event in told if isinstance(event, Chose)}
    assert objective.packed == (name not in APART)
    assert (chosen.get("last layer") == "learned places only") == (name in NARROW)
    assert (chosen.get("gates") == "lean") == (name in GATED)
    parts = list(objective.passes(rows))
    found = torch.stack([objective.loss(part) for part in parts]).sum()
    torch.testing.assert_close(found, loss, rtol=1e-5, atol=1e-4)
    _assert_same(_gradients(adapted, found), expected)
    each = torch.cat([objective.losses(part) for part in parts])
    torch.testing.assert_close(each.sum(), loss, rtol=1e-5, atol=1e-4)
    _assert_same(_gradients(adapted, each.sum()), expected)


@pytest.fixture
def llama(tmp_path: Path) -> Any:
    make_model("llama", tmp_path)
    return _adapted(tmp_path)


def test_the_losses_of_rows_are_those_of_each_alone(llama: Any, told: list[Event]) -> None:
    inner, rows = llama.get_base_model(), _rows()
    alone = torch.stack([plain_loss(inner, [row]) for row in rows])
    objective = supervised(inner, rows, 10_000, told.append)
    torch.testing.assert_close(objective.losses(rows), alone, rtol=1e-5, atol=1e-4)
    inner.set_attn_implementation("eager")
    apart = Supervised(inner, packed=False, tokens_per_pass=10_000)
    torch.testing.assert_close(apart.losses(rows), alone, rtol=1e-5, atol=1e-4)


def _counted(objective: Supervised, rows: list[Tokens]) -> tuple[torch.Tensor, int]:
    """The loss, and how many numbers are kept for backward."""
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = objective.loss(rows)
    return loss, sum(kept)


def test_checkpointed_layers_give_the_same_gradient(llama: Any, told: list[Event]) -> None:
    inner, rows = llama.get_base_model(), _rows()
    expected = _gradients(llama, supervised(inner, rows, 10_000, told.append).loss(rows))
    objective = supervised(inner, rows, 10_000, told.append, Ways(checkpoint=True))
    assert told[-1] == Chose("activations", "2 layers computed twice", "learn.checkpoint_activations")
    loss, kept = _counted(objective, rows)
    inner.model.layers[0].__dict__.pop("forward")
    assert kept < _counted(objective, rows)[1]
    _assert_same(_gradients(llama, loss), expected)


def test_offloading_is_told_to_be_idle_on_a_cpu(llama: Any, told: list[Event]) -> None:
    objective = supervised(llama.get_base_model(), _rows(), 10_000, told.append, Ways(offload=True))
    assert not objective.offload
    assert told[-1] == Chose("offload", "off", "the device is the CPU: they are there already")
    inner, rows = llama.get_base_model(), _rows()
    moved = Supervised(inner, packed=True, tokens_per_pass=10_000, offload=True)
    _assert_same(_gradients(llama, moved.loss(rows)), _gradients(llama, objective.loss(rows)))


def test_a_last_layer_that_computes_more_than_it_shows_is_left_whole(llama: Any, told: list[Event]) -> None:
    inner = llama.get_base_model()
    layer = inner.model.layers[-1]
    own = type(layer).forward

    class Shifted(type(layer)):  # type: ignore[misc]
        def forward(self, *args: Any, **more: Any) -> Any:
            return own(self, *args, **more) + 1.0

    layer.__class__ = Shifted
    objective = supervised(inner, _rows(), 10_000, told.append)
    chosen = {event.what: event.value for event in told if isinstance(event, Chose)}
    assert objective.packed
    assert chosen["last layer"] == "every place"
    rows = _rows()
    torch.testing.assert_close(packed_loss(inner, rows), plain_loss_eager(inner, rows), rtol=1e-5, atol=1e-4)


def plain_loss_eager(model: Any, rows: list[Tokens]) -> torch.Tensor:
    packed = model.config._attn_implementation
    model.set_attn_implementation("eager")
    loss = plain_loss(model, rows)
    model.set_attn_implementation(packed)
    return loss


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: nothing can be compiled")
def test_compiled_layers_give_the_same_gradient(
    llama: Any, told: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    inner, rows = llama.get_base_model(), _rows()
    expected = _gradients(llama, supervised(inner, rows, 10_000, told.append).loss(rows))
    inner.model.layers[1].__dict__.pop("forward")  # the last layer, narrow: only uncompiled ones are compiled
    monkeypatch.setattr("luthier.learn.ways.narrow_last", lambda model: False)
    objective = supervised(inner, rows, 10_000, told.append, Ways(compile="on"))
    assert objective.compiled, told
    assert any(cache_folder().rglob("*.so"))
    _assert_same(_gradients(llama, objective.loss(rows)), expected)


@pytest.mark.parametrize(
    ("setting", "tokens", "compilers", "expected", "why"),
    [
        ("off", 10**12, ["g++"], "off", "learn.compile=off"),
        ("auto", 1_000, ["g++"], "off", "takes about 40 s and saves about 0 s of 1,000 tokens"),
        ("auto", 10**9, ["g++"], "on", "saves about"),
        ("on", 0, ["g++"], "on", "learn.compile=on"),
        ("on", 0, [], "off", "no C++ compiler"),
    ],
)
def test_layers_are_compiled_where_the_run_is_long_enough(
    setting: Any,
    tokens: int,
    compilers: list[str],
    expected: str,
    why: str,
    llama: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in compilers else None)
    choice = choose_compile(setting, tokens, llama.get_base_model())
    assert choice.value == expected
    assert why in choice.why


def test_layers_kept_in_an_unknown_place_are_not_compiled() -> None:
    model = SimpleNamespace(get_decoder=lambda: SimpleNamespace(), device=torch.device("cpu"))
    assert choose_compile("on", 10**9, model).value == "off"
