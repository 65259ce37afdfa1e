"""Writes a model folder as GGUF, as llama.cpp's converter does, with gguf's own writer."""

import json
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import quants
from safetensors.numpy import load_file

NORMAL, CONTROL = 1, 3
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(
    folder: Path, path: Path, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32, split: str = "smollm"
) -> None:
    """Write a Llama's folder to `path`, its matrices of format `kind`, its text split named `split`."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, folder, split)
    for name, weight in load_file(folder / "model.safetensors").items():
        renamed = _rename(name)
        if "attn_q" in renamed or "attn_k" in renamed:
            heads = config["num_attention_heads" if "attn_q" in renamed else "num_key_value_heads"]
            weight = _permute(weight, heads)
        if weight.ndim == 1:
            writer.add_tensor(renamed, weight)
        else:
            writer.add_tensor(renamed, quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, split: str) -> None:
    state = json.loads((folder / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    control = {token["content"] for token in state["added_tokens"]}
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in control else NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())


def _rename(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, *middle, last = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(middle)]}.{last}"


def _permute(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Interleave the two halves of each head: llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
