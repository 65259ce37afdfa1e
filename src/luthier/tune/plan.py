"""What a run will take, term by term, before it is begun. Reads headers only, loads no weight."""

from pathlib import Path

from luthier.model.plan import DTYPE_BYTES, HEAD_CHUNK_BYTES, Shapes, read_shapes
from luthier.tune.spec import TuneSpec

PROCESS_BYTES = 700_000_000
"""Python with torch, transformers and peft loaded: 0.7 GB of resident memory measured, whatever the model."""


def trainable_parameters(spec: TuneSpec, shapes: Shapes) -> int:
    """Give how many parameters LoRA trains on all linear layers: r * (inputs + outputs) for each."""
    return sum(spec.adapter.r * (outputs + inputs) for outputs, inputs in shapes.linear)


def memory_terms(spec: TuneSpec, shapes: Shapes, dtype: str) -> dict[str, int]:
    """Give the bytes of each part of a run's memory at its peak."""
    width = DTYPE_BYTES[dtype]
    trained = trainable_parameters(spec, shapes)
    # what backward needs of one token: each linear layer's input, and its output once more on the way
    per_token = sum(inputs + outputs for outputs, inputs in shapes.linear) * width
    return {
        "process": PROCESS_BYTES,
        "weights": shapes.parameters * width,
        "adapter": trained * 4,
        "gradients": trained * 4,
        "optimizer": trained * 8,
        "activations": spec.learn.tokens_per_pass * per_token,
        "head": 2 * HEAD_CHUNK_BYTES,
    }


def expected_peak_bytes(spec: TuneSpec, folder: Path, dtype: str) -> int:
    """Give the sum of the terms for a model folder."""
    return sum(memory_terms(spec, read_shapes(folder), dtype).values())
