"""Fast is the same: twelve steps of ours against plain transformers with PEFT, padded, and what must not change."""

import hashlib
import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.errors import Stopped
from luthier.event import Event, Step, hush
from luthier.learn.ways import Ways, supervised
from luthier.model.adapt import add_lora, save_adapter, trainable
from luthier.model.load import load_causal
from luthier.model.lora import lean
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

STEPS, ROWS_PER_STEP = 12, 4


@pytest.fixture(scope="module")
def steps(tiny_data: Artifact) -> list[list[Tokens]]:
    rows = read_tokens(tiny_data.folder, "train")
    return [rows[begin : begin + ROWS_PER_STEP] for begin in range(0, STEPS * ROWS_PER_STEP, ROWS_PER_STEP)]


def _train(model: Any, loss: Any, steps: list[list[Tokens]]) -> list[float]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.01)
    found = []
    for rows in steps:
        value = loss(rows)
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        found.append(float(value.detach()))
    return found


def _padded(model: Any) -> Any:
    """The loss as the Hugging Face Trainer computes it: padded rows, a mask, labels."""

    def loss(rows: list[Tokens]) -> torch.Tensor:
        width = max(len(row.ids) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for number, row in enumerate(rows):
            length = len(row.ids)
            ids[number, :length] = torch.from_numpy(row.ids)
            mask[number, :length] = 1
            labels[number, :length] = torch.where(torch.from_numpy(row.mask), ids[number, :length], -100)
        found: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return found

    return loss


@pytest.fixture(scope="module")
def plain_losses(tiny_model: Artifact, steps: list[list[Tokens]]) -> list[float]:
    """Nothing of ours: transformers' model in float32, PEFT's adapter, the same beginning."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    adapted = get_peft_model(model, config).train()
    return _train(adapted, _padded(adapted), steps)


def _ours(
    model: Artifact, dtype: str, steps: list[list[Tokens]], tokens_per_pass: int = 4096
) -> tuple[Any, list[float]]:
    inner = load_causal(model.folder, dtype=dtype, device="cpu")
    adapted = add_lora(inner, r=4, alpha=8, dropout=0.0, targets="all-linear", seed=0).train()
    lean(adapted)
    objective = supervised(adapted.get_base_model(), steps[0], tokens_per_pass, hush, Ways())
    assert objective.packed

    def loss(rows: list[Tokens]) -> torch.Tensor:
        parts = [objective.loss(part) for part in objective.passes(rows)]
        return torch.stack(parts).sum() / objective.weight(rows)

    return adapted, _train(adapted, loss, steps)


@pytest.mark.parametrize("tokens_per_pass", [1, 60, 4096])
def test_twelve_steps_give_the_losses_of_plain_transformers_and_peft_to_1e_5(
    tokens_per_pass: int, tiny_model: Artifact, steps: list[list[Tokens]], plain_losses: list[float]
) -> None:
    _, found = _ours(tiny_model, "float32", steps, tokens_per_pass)
    assert len(found) == STEPS
    assert plain_losses[-1] < plain_losses[0]
    assert found == pytest.approx(plain_losses, rel=1e-5)


def test_twelve_steps_in_bfloat16_stay_within_one_percent(
    tiny_model: Artifact, steps: list[list[Tokens]], plain_losses: list[float]
) -> None:
    _, found = _ours(tiny_model, "bfloat16", steps)
    assert found == pytest.approx(plain_losses, rel=1e-2)


def _frozen_hash(model: Any) -> str:
    changed = {name for name, _ in trainable(model)}
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name not in changed:
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def test_frozen_weights_stay_and_the_adapter_gives_plain_peft_the_same_logits(
    tiny_model: Artifact, steps: list[list[Tokens]], tmp_path: Path
) -> None:
    fresh, _ = _ours(tiny_model, "float32", steps[:1])
    adapted, _ = _ours(tiny_model, "float32", steps)
    assert _frozen_hash(adapted) == _frozen_hash(fresh)
    save_adapter(adapted, tmp_path, base="somewhere")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model.folder), tmp_path).eval()
    adapted.eval().get_base_model().set_attn_implementation("eager")
    ids = torch.from_numpy(steps[0][0].ids).long()[None]
    with torch.no_grad():
        torch.testing.assert_close(adapted(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: nothing can be compiled")
@pytest.mark.parametrize(
    "backend",
    ["eager", pytest.param("inductor", marks=pytest.mark.journey)],  # traced only, or to machine code (40 s)
)
def test_a_compiled_run_is_resumed_bit_for_bit_though_it_would_now_be_chosen_otherwise(
    backend: str,
    short_run: TuneSpec,
    tiny_model: Artifact,
    tiny_data: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luthier.model.compile.torch.compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr("luthier.model.compile.COMPILE_SECONDS", 0.0)
    monkeypatch.setattr("luthier.learn.ways.narrow_last", lambda model: False)  # the tiny model has two layers
    expected = tune(short_run, tiny_model, tiny_data, Store(tmp_path / "straight"), hush)

    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    store = Store(tmp_path / "stopped")
    with pytest.raises(Stopped):
        tune(short_run, tiny_model, tiny_data, store, press)
    monkeypatch.setattr("luthier.model.compile.COMPILE_SECONDS", 1e9)
    told: list[Any] = []
    found = tune(short_run, tiny_model, tiny_data, store, told.append)
    assert [event.value for event in told if getattr(event, "what", "") == "compile"] == ["on"]
    for name in ("adapter_model.safetensors", "history.jsonl"):
        assert (found.folder / name).read_bytes() == (expected.folder / name).read_bytes()
