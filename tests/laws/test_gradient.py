"""The gradient of a step does not depend on how its rows are cut into passes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.event import hush
from luthier.learn.objective import Supervised, plain_loss
from luthier.learn.ways import supervised
from luthier.model.adapt import add_lora, trainable
from luthier.model.load import load_causal
from luthier.model.lora import lean

Gradients = dict[str, torch.Tensor]


def _gradients(model: Any, loss: Callable[[list[Tokens]], torch.Tensor], parts: list[list[Tokens]]) -> Gradients:
    weight = sum(row.supervised for part in parts for row in part)
    for part in parts:
        torch.autograd.backward(loss(part) / weight)
    found = {name: parameter.grad.clone() for name, parameter in trainable(model) if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def _adapted(model: Any, targets: str | tuple[str, ...] = "all-linear") -> Any:
    adapted = add_lora(model, r=4, alpha=8, dropout=0.0, targets=targets, seed=0)
    for name, parameter in trainable(adapted):
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    lean(adapted)
    return adapted


def _assert_same(found: Gradients, expected: Gradients) -> None:
    assert expected
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.fixture(scope="module")
def eight(tiny_data: Artifact) -> list[Tokens]:
    rows = read_tokens(tiny_data.folder, "train")[:8]
    assert len({row.supervised for row in rows}) > 1  # a mean of means would differ
    return rows


def test_a_batch_of_8_gives_the_gradient_of_8_batches_of_1(tiny_model: Artifact, eight: list[Tokens]) -> None:
    adapted = _adapted(load_causal(tiny_model.folder, dtype="float32", device="cpu"))
    objective = supervised(adapted.get_base_model(), eight, 10_000, hush)
    assert objective.packed
    together = _gradients(adapted, objective.loss, [eight])
    _assert_same(_gradients(adapted, objective.loss, [[row] for row in eight]), together)
    _assert_same(_gradients(adapted, objective.loss, [eight[:3], eight[3:]]), together)


def test_packed_rows_give_the_gradient_of_plain_transformers_one_by_one(
    tiny_model: Artifact, eight: list[Tokens]
) -> None:
    adapted = _adapted(load_causal(tiny_model.folder, dtype="float32", device="cpu"))
    inner = adapted.get_base_model()
    expected = _gradients(adapted, lambda rows: plain_loss(inner, rows), [eight])
    packed = supervised(inner, eight, 10_000, hush)
    assert packed.packed
    _assert_same(_gradients(adapted, packed.loss, [eight]), expected)


def test_passes_hold_each_row_once_and_keep_to_the_budget(eight: list[Tokens]) -> None:
    longest = max(len(row.ids) for row in eight)
    for budget in (1, longest, 2 * longest, 10**6):
        objective = Supervised(None, packed=True, tokens_per_pass=budget)
        parts = list(objective.passes(eight))
        assert sorted(id(row) for part in parts for row in part) == sorted(map(id, eight))
        assert all(len(part) == 1 or objective.tokens(part) <= budget for part in parts)


SMALL = {
    "vocab_size": 2000,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
ARCHITECTURES: dict[str, tuple[PretrainedConfig, bool]] = {
    "llama": (LlamaConfig(**SMALL, num_key_value_heads=2), True),
    "mistral with a window": (MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=8), True),
    "qwen2": (Qwen2Config(**SMALL, num_key_value_heads=2), True),
    "qwen3": (Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=8), True),
    "phi": (PhiConfig(**SMALL), True),
    "gemma": (GemmaConfig(**SMALL, num_key_value_heads=2, head_dim=8), True),
    "gpt2": (
        GPT2Config(vocab_size=2000, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
        True,
    ),
    "bloom": (BloomConfig(vocab_size=2000, hidden_size=32, n_layer=2, n_head=4), False),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_learns_what_plain_transformers_would(name: str, eight: list[Tokens]) -> None:
    config, is_packable = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    adapted = _adapted(model)
    adapted.eval()
    inner = adapted.get_base_model()
    expected = _gradients(adapted, lambda rows: plain_loss(inner, rows), [eight])
    objective = supervised(inner, eight, 10_000, hush)
    assert objective.packed == is_packable
    parts = [list(part) for part in objective.passes(eight)]
    _assert_same(_gradients(adapted, objective.loss, parts), expected)
