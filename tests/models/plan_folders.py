"""Model folders of a few kilobytes whose headers are those of known large models: sparse files, nothing in them."""

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

Tensors = Mapping[str, tuple[int, ...]]


def write_folder(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> Path:
    """Write a config and a safetensors file in 16 bits whose data are a hole."""
    entries: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * prod(shape)
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _llama(layers: int, width: int, inner: int, vocabulary: int) -> tuple[Mapping[str, Any], Tensors]:
    tensors = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for number in range(layers):
        before = f"model.layers.{number}."
        tensors |= {f"{before}self_attn.{name}_proj.weight": (width, width) for name in "qkvo"}
        tensors |= {f"{before}mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        tensors |= {f"{before}mlp.down_proj.weight": (width, inner)}
        tensors |= {f"{before}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
    }
    return config, {**tensors, "lm_head.weight": (vocabulary, width)}


LLAMA_2_7B = _llama(32, 4096, 11008, 32000)
"""huggingface.co/meta-llama/Llama-2-7b-hf, config.json."""

_CHATGLM_TENSORS: dict[str, tuple[int, ...]] = {
    "transformer.embedding.word_embeddings.weight": (65024, 4096),
    "transformer.output_layer.weight": (65024, 4096),
}
for _number in range(28):
    _before = f"transformer.encoder.layers.{_number}."
    _CHATGLM_TENSORS |= {
        f"{_before}self_attention.query_key_value.weight": (4608, 4096),
        f"{_before}self_attention.query_key_value.bias": (4608,),
        f"{_before}self_attention.dense.weight": (4096, 4096),
        f"{_before}mlp.dense_h_to_4h.weight": (27392, 4096),
        f"{_before}mlp.dense_4h_to_h.weight": (4096, 13696),
        f"{_before}input_layernorm.weight": (4096,),
    }
CHATGLM: tuple[Mapping[str, Any], Tensors] = (
    {
        "model_type": "chatglm",
        "hidden_size": 4096,
        "num_layers": 28,
        "num_attention_heads": 32,
        "multi_query_group_num": 2,
        "padded_vocab_size": 65024,
        "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    },
    _CHATGLM_TENSORS,
)
"""huggingface.co/THUDM/chatglm3-6b, config.json: 28 layers, 32 query heads and 2 groups of keys of 128."""
