"""The gated product of an MLP, silu(gate) * up, that keeps two tensors for backward instead of four."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers.activations import ACT2FN

from luthier.model.layers import decoder_layers, exchange, restore

PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), functional.silu(gate).mul_(grad)


def gate_lean(model: Any) -> int:
    """Exchange the forward pass of each MLP that is down(silu(gate(x)) * up(x)). Gives how many there are."""
    found: list[Any] = [layer.mlp for layer in decoder_layers(model) if _is_gated(getattr(layer, "mlp", None))]
    for mlp in found:
        exchange(mlp, _forward(mlp))
    return len(found)


def gate_plain(model: Any) -> None:
    """Undo `gate_lean`."""
    for layer in decoder_layers(model):
        mlp = getattr(layer, "mlp", None)
        if isinstance(mlp, nn.Module):
            restore(mlp)


def _is_gated(mlp: Any) -> bool:
    return (
        isinstance(mlp, nn.Module)
        and {name for name, _ in mlp.named_children()} == PARTS
        and type(mlp.act_fn) is type(ACT2FN["silu"])
    )


def _forward(mlp: Any) -> Any:
    def forward(x: Tensor) -> Any:
        return mlp.down_proj(_Gated.apply(mlp.gate_proj(x), mlp.up_proj(x)))  # type: ignore[no-untyped-call]

    return forward
