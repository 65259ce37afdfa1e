"""How long a run will take: its operations, and how many of them a device does in a second."""

import math
import time
from dataclasses import dataclass
from functools import cache
from math import prod

from luthier.model.shapes import Shapes
from luthier.tune.calibration import Calibration, speed_key
from luthier.tune.incompatible import OWN
from luthier.tune.plan_load import Load
from luthier.tune.plan_place import Place
from luthier.tune.spec import TuneSpec

SHARES = {"cpu": 0.42, "cuda": 0.40}
"""Part of a device's own speed in matrix products that a step reaches, until runs here have measured it."""
LAYER_SECONDS = {"cpu": 1.5e-3, "cuda": 3e-4}
"""What a layer costs of a pass, forward and backward, however few tokens it has."""
NARROW_COST = {"none": 1.0, "nf4": 1.35, "int8": 1.25}
"""Weights of a few bits are made wide before each product."""
CHECKPOINTING_COST = 1.5
"""Layers are computed forward twice (Chen et al. 2016, arXiv:1604.06174); weights' gradients are not."""
SPREAD_SHARE = 0.9
"""Part of the speed that is left of each device where several work together."""
PROBE_SECONDS = 0.3
PROBE_SHAPE = (1024, 1024, 1024)


@dataclass(frozen=True)
class Speed:
    """Operations a second, and how they are known."""

    per_second: float
    why: str


def operations(spec: TuneSpec, shapes: Shapes, load: Load, trained: int) -> float:
    """Count the multiplications and additions of one optimizer step.

    2 for each weight and token forward, 2 backward to the inputs, 2 to the weights that are trained (Kaplan et al.
    2020, arXiv:2001.08361, section 2.1); attention 4 for each pair of tokens and inner width, three times.
    """
    kind, tokens = spec.adapter.kind, load.tokens_per_step
    experts = sum(prod(shape) for shape in shapes.tensors.values() if len(shape) == 3)
    weights = sum(layer.size for layer in shapes.linear) + experts * shapes.experts_share
    back = min(1.0, spec.adapter.layers / shapes.layers) if kind == "freeze" else 1.0
    dense = 2 * weights * (1 + back) * tokens
    dense *= CHECKPOINTING_COST if spec.learn.checkpoint_activations else 1
    own = (2 if kind in OWN else 6) * min(trained, weights) * tokens
    attention = 4 * load.attended_per_step * shapes.hidden * shapes.layers * (1 + 2 * back)
    head = 0.0 if load.outputs else 2 * shapes.head.size * load.supervised_per_step * (3 if kind == "full" else 2)
    return dense + own + attention + head


def passes_per_step(spec: TuneSpec, load: Load, packed: bool) -> float:
    """Give how many passes a step takes on average."""
    if not packed:
        return float(spec.learn.rows_per_step)
    return max(1.0, math.ceil(load.tokens_per_step / spec.learn.tokens_per_pass))


def step_seconds(
    spec: TuneSpec, shapes: Shapes, load: Load, trained: int, place: Place, packed: bool, speed: Speed
) -> float:
    """Give the time of one optimizer step."""
    fixed = passes_per_step(spec, load, packed) * shapes.layers * LAYER_SECONDS[place.device]
    computing = operations(spec, shapes, load, trained) * NARROW_COST[spec.quantize] / speed.per_second
    # processes on one processor share it
    together = place.devices * SPREAD_SHARE if place.devices > 1 and place.device != "cpu" else 1
    return (fixed + computing) / together


def speed_of(place: Place, dtype: str, packed: bool, calibration: Calibration) -> Speed:
    """Give a device's speed: as runs here measured it, as its maker says, or as a short trial finds."""
    measured = calibration.speed.get(speed_key(place.device, dtype, packed))
    if measured and place.speed is None:
        return Speed(measured, f"measured in {calibration.runs} runs here")
    if place.speed is not None:
        share = SHARES[place.device]
        return Speed(place.speed * share, f"{share:.0%} of the {place.speed / 1e12:.0f} TFLOP/s its maker gives")
    found = probe(dtype)
    share = SHARES["cpu"]
    return Speed(found * share, f"{share:.0%} of the {found / 1e9:.0f} GFLOP/s of a matrix product tried here")


@cache
def probe(dtype: str) -> float:
    """Measure how many operations a second this processor does in a matrix product, for a third of a second."""
    import torch

    rows, inner, columns = PROBE_SHAPE
    one = torch.ones(rows, inner, dtype=getattr(torch, dtype))
    other = torch.ones(columns, inner, dtype=one.dtype)
    one @ other.t()
    best, begun = 0.0, time.monotonic()
    while time.monotonic() - begun < PROBE_SECONDS:
        start = time.perf_counter()
        one @ other.t()
        best = max(best, 2 * rows * inner * columns / max(1e-9, time.perf_counter() - start))
    return best
