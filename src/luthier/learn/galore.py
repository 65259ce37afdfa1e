"""GaLore: Adam's moments in a low-rank space of each matrix's gradient (Zhao et al. 2024, arXiv:2403.03507).

Its state is tensors only, so that a checkpoint holds all of it and a resumed run goes on bit for bit.
Letters: M, N the matrix, R the rank.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class GaLore(torch.optim.Optimizer):
    """AdamW over projected gradients of matrices; algorithm 2 of the paper, with decoupled decay."""

    def __init__(
        self,
        params: Any,
        *,
        rank: int = 64,
        refresh_steps: int = 200,
        scale: float = 0.25,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """Take groups of matrices; a matrix whose shorter side is at most `rank` is not projected.

        `refresh_steps` is how often the space is found anew, `scale` the paper's alpha.
        """
        defaults = {"lr": 1e-3, "weight_decay": 0.0, "betas": betas, "eps": eps}
        super().__init__(params, defaults | {"rank": rank, "refresh_steps": refresh_steps, "scale": scale})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change every matrix that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return loss

    def _step(self, parameter: Tensor, grad_MN: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        done = int(state.get("step", 0))
        is_projected = min(grad_MN.shape) > group["rank"]
        if is_projected and done % group["refresh_steps"] == 0:
            state["space"] = _space(grad_MN, group["rank"])
        low = _down(grad_MN, state["space"]) if is_projected else grad_MN
        if done == 0:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(low), torch.zeros_like(low)
        state["step"] = done + 1
        first, second = group["betas"]
        state["exp_avg"].lerp_(low, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(low, low, value=1 - second)
        correction = math.sqrt(1 - second ** (done + 1)) / (1 - first ** (done + 1))
        update = state["exp_avg"] / state["exp_avg_sq"].sqrt().add_(group["eps"])
        if is_projected:
            update = _up(update, state["space"], grad_MN.shape).mul_(group["scale"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * correction)


def _space(grad_MN: Tensor, rank: int) -> Tensor:
    """Give an orthonormal basis of the gradient's largest directions on its shorter side, (side, R)."""
    left, _, right = torch.linalg.svd(grad_MN.float(), full_matrices=False)
    space: Tensor = left[:, :rank] if grad_MN.shape[0] <= grad_MN.shape[1] else right[:rank].t()
    return space.to(grad_MN.dtype).contiguous()


def _down(grad_MN: Tensor, space: Tensor) -> Tensor:
    return space.t() @ grad_MN if grad_MN.shape[0] <= grad_MN.shape[1] else grad_MN @ space


def _up(low: Tensor, space: Tensor, shape: torch.Size) -> Tensor:
    return space @ low if shape[0] <= shape[1] else low @ space.t()
