"""What a run will take of memory, term by term, and of disk. No weight is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod
from pathlib import Path

from luthier.errors import ModelError
from luthier.model.plan import DTYPE_BYTES, HEAD_CHUNK_BYTES
from luthier.model.quantized import KINDS
from luthier.model.shapes import Shapes
from luthier.tune.incompatible import OWN, VIRTUAL
from luthier.tune.plan_load import Load
from luthier.tune.plan_trained import chosen_layers, trained_parameters
from luthier.tune.spec import TuneSpec

PROCESS_BYTES = {"adapter": 720_000_000, "own": 550_000_000}
"""Python with torch and transformers loaded, where no run here has measured it; for an adapter PEFT loads
bitsandbytes too (tiny model, torch 2.13 on Linux)."""
LEAN = ("lora", "rslora", "lora_plus", "pissa", *OWN, *VIRTUAL)
"""Methods without PEFT's own LoRA layers, or whose layers are exchanged for lean ones."""
CONTEXT_BYTES = 600_000_000
"""What a GPU's driver and libraries take of its memory before the first tensor."""
ACCELERATOR_HEAD_BYTES = 2**29
"""Float32 logits the head makes at once on an accelerator."""
LEAN_GAPS_SHARE, GAPS_SHARE, DORA_GAPS_SHARE = 0.15, 0.3, 0.6
"""Part of the activations that passes of uneven length leave unused between them in glibc's heap: with lean LoRA layers
or none, with PEFT's own, whose casts come and go, and with DoRA's, whose whole weights do (fitted on the grids of
bench/tune_plan.py and bench/tune_methods.py, SmolLM2-135M)."""
MAPPED_SHARE = 0.6
"""Part of the weight files that is mapped at most beside the weights made of them (bench/tune_methods.py: prompts)."""
KERNELS_IN_FLOAT32 = 0.3
"""Part of the kernels where float32 is computed in, in which fewer products are oneDNN's (bench/tune_plan.py; and
bench/tune_methods.py on a processor without bfloat16 instructions)."""
KERNEL_SHARES = {"ia3": 0.5, "freeze": 0.5}
"""Part of the kernels of methods with fewer products: no thin matrices (fitted on the same grid)."""
KERNEL_BYTES = 200_000_000
"""What as many of oneDNN's kernels take as `machine.keep_few_kernels` lets it keep, whatever the model's width (torch
2.13, tiny model and SmolLM2-135M)."""
PASS_SETTINGS = ("tokens_per_pass", "packing", "rows_per_step", "checkpoint_activations", "offload_activations")
"""Settings of learn that bear on what a pass holds."""
REHEARSED_LAYERS = 12
"""A deeper model is rehearsed with fewer layers."""
HISTORY_BYTES = 100_000
"""Curves, history and cards beside an artifact's weights."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a run, on each device."""

    terms: Mapping[str, int]
    """Parts of the peak while gradients are made."""
    loading_bytes: int
    """Peak while weights are read: files are mapped beside what is made of them."""
    stepping_bytes: int
    """Peak while the optimizer changes the weights."""
    kept_bytes: int = 0
    """What backward needs before there is a gradient."""
    why: Mapping[str, str] = field(default_factory=dict)
    """How the terms were found, where there was a choice."""

    @property
    def peak_bytes(self) -> int:
        """The most that is held at any time."""
        return max(sum(self.terms.values()), self.loading_bytes, self.stepping_bytes)


def method_group(spec: TuneSpec) -> str:
    """Name what a run loads: own weights need no PEFT, which brings bitsandbytes."""
    return "own" if spec.adapter.kind in OWN and not needs_bitsandbytes(spec) else "adapter"


def needs_bitsandbytes(spec: TuneSpec) -> bool:
    """Whether the optimizer is one of bitsandbytes', which PEFT would load too."""
    return spec.learn.optimizer in ("adamw_8bit", "paged_adamw_8bit", "lion")


@dataclass(frozen=True)
class Passed:
    """What one pass takes beside what stays."""

    activations_bytes: int
    """At the peak, gradients apart."""
    kept_bytes: int
    """What backward needs before there is a gradient: more, where each gradient takes the room of what it was made of.
    """
    dev_bytes: int
    packed: bool
    supervised: int
    why: str


def memory(
    spec: TuneSpec,
    folder: Path,
    shapes: Shapes,
    load: Load,
    dtype: str,
    device: str,
    process_bytes: int | None = None,
    room_bytes: int | None = None,
) -> Memory:
    """Count what a run on one device will take; of the weights no more than `room_bytes` lie there."""
    from luthier.learn.optimizer import OPTIMIZERS  # torch

    width, is_own = DTYPE_BYTES[dtype], spec.adapter.kind in OWN
    trained = trained_parameters(spec.adapter, shapes, load.outputs)
    passed = pass_of(spec, folder, shapes, load, dtype, device)
    process = process_bytes or (PROCESS_BYTES[method_group(spec)] if device == "cpu" else CONTEXT_BYTES)
    weights = min(weight_bytes(spec, shapes, width), room_bytes or 2**63)
    still = {
        "process": process,
        "weights": weights,
        "adapter": 0 if is_own else 4 * trained,
        "masters": 4 * trained if is_own and width < 4 else 0,
        "optimizer": int(OPTIMIZERS[spec.learn.optimizer].state_bytes * trained),
    }
    head = head_bytes(spec, shapes, passed, width, device) if not load.outputs else 0
    waiting = passed.kept_bytes if spec.learn.offload_activations and device != "cpu" else 0
    activations = max(0, passed.activations_bytes - waiting)
    working = {"gradients": 4 * trained, "activations": activations, "head": head}
    if device == "cpu":
        still["kernels"] = kernel_bytes(spec, dtype)
        still["left"] = left_bytes(spec, shapes, width)
        if is_own:  # glibc's heap does not give a gradient the room of what it was made of
            working["activations"] = max(activations, passed.kept_bytes)
        working["gaps"] = int(gaps_share(spec) * working["activations"])
    if room_bytes is not None:
        working["buffers"] = 2 * shapes.parameters // shapes.layers * width  # a layer that comes, one that goes
    elif spec.quantize != "none":
        working["buffers"] = max(layer.size for layer in shapes.linear) * 2 * width  # a layer's weights made wide
    if passed.dev_bytes > sum(working.values()):
        working = {"gradients": 0, "activations": passed.dev_bytes, "head": head}
    largest = max(prod(shape) for shape in shapes.tensors.values()) if is_own else 0
    mapped = int(MAPPED_SHARE * shapes.stored_bytes)
    return Memory(
        {**still, **working},
        loading_bytes=process + weights + (mapped if device == "cpu" and room_bytes is None else 0),
        stepping_bytes=sum(still.values()) + 4 * trained + 8 * largest,
        kept_bytes=passed.kept_bytes,
        why={"activations": passed.why},
    )


def gaps_share(spec: TuneSpec) -> float:
    """Give the part of the activations that lies unused between them."""
    if spec.adapter.kind == "dora":
        return DORA_GAPS_SHARE
    is_lean = spec.adapter.kind in LEAN and spec.quantize == "none" and not spec.adapter.dropout
    return LEAN_GAPS_SHARE if is_lean else GAPS_SHARE


def kernel_bytes(spec: TuneSpec, dtype: str) -> int:
    """Give what oneDNN's kernels take: each pass of another length makes its own, until as many are kept as may be."""
    share = KERNEL_SHARES.get(spec.adapter.kind, 1.0) * (KERNELS_IN_FLOAT32 if dtype == "float32" else 1.0)
    return int(KERNEL_BYTES * share)


def left_bytes(spec: TuneSpec, shapes: Shapes, width: int) -> int:
    """Give what a processor's heap keeps of weights that are gone: those that were read wide and made narrow, and those
    that PiSSA took its directions out of (bench/tune_methods.py)."""
    if spec.quantize != "none":
        return shapes.parameters * width
    return (
        sum(layer.size for layer in chosen_layers(spec.adapter, shapes)) * width if spec.adapter.kind == "pissa" else 0
    )


def weight_bytes(spec: TuneSpec, shapes: Shapes, width: int) -> int:
    """Give the bytes of the frozen or trained weights as they are held."""
    if spec.quantize == "none":
        return shapes.parameters * width
    narrow = sum(layer.size for layer in shapes.linear)
    return int(narrow * KINDS[spec.quantize].weight_bytes) + (shapes.parameters - narrow) * width


def head_bytes(spec: TuneSpec, shapes: Shapes, passed: Passed, width: int, device: str) -> int:
    """Give what the head and its loss take: a chunk of logits, and gradients of hidden states and of its weight."""
    if not passed.packed:
        return 0  # its logits are among the activations
    chunk = HEAD_CHUNK_BYTES if device == "cpu" else ACCELERATOR_HEAD_BYTES
    whole = 4 * passed.supervised * shapes.vocabulary
    logits = min(chunk, whole) * (width + 4) // 4 if device != "cpu" else min(chunk, whole) * width // 4
    hidden = passed.supervised * shapes.hidden * width
    is_trained = spec.adapter.kind == "full" or any(shapes.head.name.endswith(name) for name in spec.adapter.save)
    return logits + hidden + (shapes.head.size * (4 + width) if is_trained else 0)


def pass_of(spec: TuneSpec, folder: Path, shapes: Shapes, load: Load, dtype: str, device: str) -> Passed:
    """Give what a pass takes: rehearsed where transformers knows the architecture, else from the layers' shapes."""
    key = _key(spec)
    rows = tuple(len(row.ids) for row in load.largest)
    return _passed(key, folder, shapes.stored_bytes, dtype, device, rows, _Held(spec, shapes, load))


@dataclass(frozen=True)
class _Held:
    """What a cached call needs and is not told apart by."""

    spec: TuneSpec
    shapes: Shapes
    load: Load

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)


def _key(spec: TuneSpec) -> str:
    learning = spec.learn.model_dump(include={*PASS_SETTINGS})
    narrow = "" if spec.quantize == "none" else "narrow"
    return f"{spec.adapter.model_dump_json()} {learning} {narrow} {spec.seed}"


@lru_cache(64)
def _passed(key: str, folder: Path, stored: int, dtype: str, device: str, rows: tuple[int, ...], held: _Held) -> Passed:
    from luthier.model.skeleton import open_skeleton  # torch, transformers and peft: 7 s
    from luthier.tune.rehearse import UNPACKABLE, rehearse

    spec, shapes, load = held.spec, held.shapes, held.load
    try:
        depths = rehearsed_depths(spec, shapes)
        found = [
            rehearse(open_skeleton(folder, dtype, load.outputs or None, depth), spec, load, device) for depth in depths
        ]
    except (ModelError, *UNPACKABLE) as error:
        tokens = max(len(load.longest.ids), min(spec.learn.tokens_per_pass, sum(rows)))
        size = by_shapes(spec, shapes, tokens, DTYPE_BYTES[dtype])
        why = f"reckoned from the layers' shapes; a rehearsal failed: {str(error).splitlines()[0]}"
        return Passed(size, size, 0, True, tokens, why)
    why = "a step rehearsed without numbers, every tensor counted"
    first, last = found[0], found[-1]
    if len(found) > 1:
        why += f"; {depths[0]} and {depths[1]} layers stand for {shapes.layers}"
        each = (last.train_bytes - first.train_bytes) / (depths[1] - depths[0])
        kept = (last.kept_bytes - first.kept_bytes) / (depths[1] - depths[0])
        more = shapes.layers - depths[0]
        train_bytes = max(0, int(first.train_bytes + more * each))
        last = replace(last, train_bytes=train_bytes, kept_bytes=int(first.kept_bytes + more * kept))
    return Passed(last.train_bytes, last.kept_bytes, last.dev_bytes, last.packed, last.supervised, why)


def rehearsed_depths(spec: TuneSpec, shapes: Shapes) -> tuple[int, ...]:
    """Give how deep a model is rehearsed: where layers are alike, a few stand for all of a deep one."""
    if shapes.layers <= REHEARSED_LAYERS or spec.adapter.kind == "freeze" or not shapes.is_alike:
        return (shapes.layers,)
    return (2, 4)  # even, for layers whose windows take turns


def by_shapes(spec: TuneSpec, shapes: Shapes, tokens: int, width: int) -> int:
    """Reckon what backward needs: each linear layer's input and output, and two norms in float32 for each layer."""
    per_token = sum(layer.inputs + layer.outputs for layer in shapes.linear) * width + shapes.layers * shapes.hidden * 8
    if spec.adapter.kind not in OWN and spec.quantize != "none":
        per_token += sum(layer.inputs for layer in chosen_layers(spec.adapter, shapes)) * 4  # adapters' casts
    return tokens * per_token


def disk_terms(spec: TuneSpec, shapes: Shapes, dtype: str, outputs: int = 0) -> dict[str, int]:
    """Give the bytes on disk of the checkpoints, at most at once, and of what comes out."""
    from luthier.learn.optimizer import OPTIMIZERS

    trained = trained_parameters(spec.adapter, shapes, outputs)
    one = int(trained * (4 + OPTIMIZERS[spec.learn.optimizer].state_bytes))
    best = 4 * trained if spec.learn.keep_best else 0
    width = DTYPE_BYTES[dtype] if spec.adapter.kind in OWN else 4
    # one more than are kept: the new one is whole before the oldest goes
    return {"checkpoints": one * (spec.checkpoint.keep + 1) + best, "artifact": width * trained + HISTORY_BYTES}
