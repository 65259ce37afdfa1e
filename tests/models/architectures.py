"""Tiny seeded models of the common architectures, each under 2 MB, on the tokenizer of `tiny:llama`.

`from architectures import ARCHITECTURES, make_model` in any test (the folder is on pytest's and mypy's path).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig

from luthier.fetch.tiny import CONTEXT_TOKENS, PAD, TURN_END, make_tokenizer

SEED = 20
HIDDEN, LAYERS, HEADS, KEY_VALUE_HEADS, INTERMEDIATE = 64, 2, 4, 2, 160


@dataclass(frozen=True)
class Row:
    """How transformers calls it, and what its config asks for besides the sizes all share."""

    config: str
    model: str
    more: dict[str, Any] = field(default_factory=dict)


GATED = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "max_position_embeddings": CONTEXT_TOKENS,
}
WITH_HEAD_DIM = GATED | {"head_dim": HIDDEN // HEADS}
EXPERTS = {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1}
GPT2_SIZES = {
    "n_embd": HIDDEN,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_positions": CONTEXT_TOKENS,
    "n_inner": INTERMEDIATE,
}
BLOOM_SIZES = {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}

ROWS: dict[str, Row] = {
    "llama": Row("LlamaConfig", "LlamaForCausalLM", GATED),
    "qwen2": Row("Qwen2Config", "Qwen2ForCausalLM", GATED),
    "qwen3": Row("Qwen3Config", "Qwen3ForCausalLM", WITH_HEAD_DIM),
    "qwen3_moe": Row("Qwen3MoeConfig", "Qwen3MoeForCausalLM", WITH_HEAD_DIM | EXPERTS),
    "gpt2": Row("GPT2Config", "GPT2LMHeadModel", GPT2_SIZES),
    "glm": Row("GlmConfig", "GlmForCausalLM", WITH_HEAD_DIM),
    "glm4": Row("Glm4Config", "Glm4ForCausalLM", WITH_HEAD_DIM),
    "gemma": Row("GemmaConfig", "GemmaForCausalLM", WITH_HEAD_DIM),
    "phi": Row("PhiConfig", "PhiForCausalLM", GATED),
    "phi3": Row("Phi3Config", "Phi3ForCausalLM", GATED),
    "mistral": Row("MistralConfig", "MistralForCausalLM", GATED),
    "bloom": Row("BloomConfig", "BloomForCausalLM", BLOOM_SIZES),
}

ARCHITECTURES: tuple[str, ...] = tuple(ROWS)
"""Every name `make_model` takes."""


def make_model(name: str, out: Path) -> None:
    """Write the tiny random model of that name into `out` (made if need be): weights, config, tokenizer, ChatML.

    Context 512 tokens, pad id 0, end id 2, float32; the same weights every time, on one version of torch.
    """
    row = ROWS[name]
    tokenizer = make_tokenizer()
    pad, end = (tokenizer.convert_tokens_to_ids(token) for token in (PAD, TURN_END))
    tokens = {"bos_token_id": pad, "eos_token_id": end, "pad_token_id": pad}
    config = getattr(transformers, row.config)(
        # ten times the usual: at 0.02 all logits nearly tie, and greedy answers would hang on rounding
        vocab_size=len(tokenizer),
        initializer_range=0.2,
        **tokens,
        **row.more,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = getattr(transformers, row.model)(config).float()
    model.generation_config = GenerationConfig(**tokens, do_sample=False)
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)
