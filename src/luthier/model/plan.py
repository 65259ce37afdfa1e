"""Shapes and bytes of a model, read from file headers: no weight is loaded."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.errors import ModelError
from luthier.model.shapes import Layer, Shapes
from luthier.model.template import read_config

FREE_SHARE = 0.6
"""Part of a place's free memory that weights may take where nothing is said: a step computes in the rest."""
HEAD_CHUNK_BYTES = 32 * 2**20
"""The head's loss makes at most so many bytes of float32 logits at a time."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HEADS = ("lm_head", "embed_out", "output_layer", "head")
"""What models call the layer that gives logits."""
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
"""Models whose linear layers lie as (inputs, outputs)."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok")
"""Keys of models whose layers in memory are others than on disk: transformers joins experts into one tensor."""


def read_shapes(folder: Path) -> Shapes:
    """Read the shapes of a model folder from its config and its safetensors headers.

    A folder that holds only config.json, weights of a few bits and models of experts are built without memory (torch's
    meta device) by transformers. Raises ModelError where neither way knows the model.
    """
    config = read_config(folder)
    inner = config.get("text_config", config)
    paths = sorted(folder.glob("*.safetensors"))
    tensors = {name: shape for path in paths for name, shape in headers(path).items()}
    stored = sum(path.stat().st_size for path in paths)
    if not tensors or config.get("quantization_config") or any(inner.get(key) for key in EXPERTS):
        from luthier.model.skeleton import open_skeleton, shapes_of  # torch: 7 s

        return shapes_of(open_skeleton(folder), stored)
    return from_tensors(tensors, config, stored)


def from_tensors(tensors: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], stored_bytes: int) -> Shapes:
    """Sort a model's tensors by their names and shapes."""
    inner = config.get("text_config", config)
    numbers = _numbers(inner, tensors)
    is_tied = bool(inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    found = next((name for name in tensors if name.removesuffix(".weight").rpartition(".")[2] in HEADS), None)
    kept = {name: shape for name, shape in tensors.items() if not (is_tied and name == found)}
    turned = str(config.get("model_type")) in TRANSPOSED
    linear = [
        Layer(name.removesuffix(".weight"), *(reversed(shape) if turned else shape))
        for name, shape in kept.items()
        if len(shape) == 2 and name.endswith(".weight") and any(part.isdigit() for part in name.split("."))
    ]
    head = Layer((found or "lm_head").removesuffix(".weight"), numbers["vocabulary"], numbers["hidden"])
    is_tied = is_tied or found is None
    kind = str(inner.get("model_type") or config.get("model_type") or "")
    return Shapes(kept, tuple(linear), head, is_tied, kind=kind, stored_bytes=stored_bytes, **numbers)


def _numbers(config: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    heads = _first(config, "num_attention_heads", "n_head")
    hidden = _first(config, "hidden_size", "n_embd", "d_model")
    vocabulary = _first(config, "padded_vocab_size", "vocab_size")
    plain = [shape for name, shape in tensors.items() if len(shape) == 2 and not any(map(str.isdigit, name))]
    # the embedding may have more rows than the config says: some are padded
    vocabulary = max([shape[0] for shape in plain if shape[1] == hidden and shape[0] >= vocabulary] or [vocabulary])
    return {
        "layers": _first(config, "num_hidden_layers", "n_layer", "num_layers"),
        "hidden": hidden,
        "vocabulary": vocabulary,
        "heads": heads,
        "key_value_heads": _first(config, "num_key_value_heads", "multi_query_group_num") or heads,
    }


def _first(config: Mapping[str, Any], *names: str) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)


def headers(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes in a safetensors file. Raises ModelError if the file is cut off or no such file.

    The form: 8 bytes of little-endian length, then that much JSON, then the data (huggingface.co/docs/safetensors).
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError(f"its header says {length} bytes, the file has {size}")
            found: dict[str, Any] = json.loads(file.read(length))
        found.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in found.values()), default=0)
        if end != size:
            raise ValueError(f"it should have {end} bytes and has {size}")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path.name} is no whole safetensors file: {error}", where=str(path), mend="fetch the model again"
        ) from None
    return {name: tuple(entry["shape"]) for name, entry in found.items()}
