"""The head and its loss: cross-entropy at supervised positions only, in chunks, the gradient made in the forward pass.

The whole [tokens, vocabulary] table never exists. Letters: S supervised positions, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.model.plan import HEAD_CHUNK_BYTES


class _HeadLoss(torch.autograd.Function):
    """Sum over positions of -log softmax(hidden @ weight.T + bias)[target], in nats, for a frozen head."""

    @staticmethod
    def forward(ctx: Any, hidden_SD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, target_S: Tensor) -> Tensor:
        chunk = max(1, HEAD_CHUNK_BYTES // (4 * weight_VD.shape[0]))
        grad_SD = torch.empty_like(hidden_SD)
        loss_S = torch.empty(len(target_S), dtype=torch.float32, device=hidden_SD.device)
        for begin in range(0, len(target_S), chunk):
            part = slice(begin, begin + chunk)
            logits = (hidden_SD[part] @ weight_VD.t()).float()
            if bias_V is not None:
                logits += bias_V
            target = target_S[part, None]
            top = logits.amax(1, keepdim=True)
            chosen = logits.gather(1, target) - top
            weights = logits.sub_(top).exp_()
            total = weights.sum(1, keepdim=True)
            loss_S[part] = (total.log() - chosen).squeeze(1)
            # d loss / d logits = softmax - one_hot(target)
            weights.div_(total).scatter_add_(1, target, weights.new_full((1, 1), -1.0).expand_as(target))
            torch.mm(weights.to(hidden_SD.dtype), weight_VD, out=grad_SD[part])
        ctx.save_for_backward(grad_SD)
        return loss_S.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (grad_SD,) = ctx.saved_tensors
        return grad_SD * grad, None, None, None


def head_loss(hidden_SD: Tensor, head: nn.Module, target_S: Tensor) -> Tensor:
    """Give the summed cross-entropy of supervised positions, in nats, as a float32 scalar.

    `hidden_SD` are the decoder's last hidden states at the positions that predict `target_S`. `head` is a frozen
    linear layer: no gradient is made for its weight. An empty batch gives 0.
    """
    bias = getattr(head, "bias", None)
    loss: Tensor = _HeadLoss.apply(hidden_SD, head.weight, bias, target_S)  # type: ignore[no-untyped-call]
    return loss
