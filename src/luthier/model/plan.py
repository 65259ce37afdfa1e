"""Shapes and bytes of a model, read from file headers: no weight is loaded."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import ModelError
from luthier.model.template import read_config

HEAD_CHUNK_BYTES = 64 * 2**20
"""The head's loss makes at most so many bytes of float32 logits at a time."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Shapes:
    """What a plan needs to know of a model."""

    parameters: int
    linear: tuple[tuple[int, int], ...]
    """(outputs, inputs) of each linear layer inside the decoder, head and embeddings left out."""
    layers: int
    hidden: int
    vocabulary: int


def read_shapes(folder: Path) -> Shapes:
    """Read the shapes of a model folder from its config and its safetensors headers."""
    config = read_config(folder)
    inner = config.get("text_config", config)
    tensors = {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in headers(path).items()}
    layered = [shape for name, shape in tensors.items() if len(shape) == 2 and any(c.isdigit() for c in name)]
    return Shapes(
        parameters=sum(math.prod(shape) for shape in tensors.values()),
        linear=tuple((shape[0], shape[1]) for shape in layered),
        layers=int(inner.get("num_hidden_layers") or inner.get("n_layer") or inner.get("num_layers") or 0),
        hidden=int(inner.get("hidden_size") or inner.get("n_embd") or 0),
        vocabulary=int(inner.get("vocab_size") or inner.get("padded_vocab_size") or 0),
    )


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
