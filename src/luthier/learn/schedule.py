"""The learning rate over the steps."""

import math
from collections.abc import Callable

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    # Loshchilov and Hutter 2016, arXiv:1608.03983, equation 5 with one cycle
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
    # warm-up, stable, decay: Hu et al. 2024, arXiv:2404.06395, with the last fifth falling as 1 - sqrt
    # (Haegele et al. 2024, arXiv:2405.18392, section 3)
    "wsd": lambda share: 1.0 if share < 0.8 else 1.0 - math.sqrt((share - 0.8) / 0.2),
}
"""Name -> share of the peak rate, from the share of the steps after warm-up that are done, in [0, 1)."""


def rate_at(step: int, steps: int, peak: float, warmup_steps: int, shape: str) -> float:
    """Give the rate of a step counted from 0: a linear rise over `warmup_steps`, then the shape."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * SHAPES[shape]((step - warmup_steps) / max(1, steps - warmup_steps))
