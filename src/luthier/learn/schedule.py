"""The learning rate over the steps."""

import math
from collections.abc import Callable

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    # Loshchilov and Hutter 2016, arXiv:1608.03983, equation 5 with one cycle
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}
"""Name -> share of the peak rate, from the share of the steps after warm-up that are done, in [0, 1)."""


def rate_at(step: int, steps: int, peak: float, warmup_steps: int, shape: str) -> float:
    """Give the rate of a step counted from 0: a linear rise over `warmup_steps`, then the shape."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * SHAPES[shape]((step - warmup_steps) / max(1, steps - warmup_steps))
