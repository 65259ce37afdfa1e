"""The head and its loss: log-probabilities at chosen positions only, in chunks; [tokens, vocabulary] never exists.

A frozen head's gradient is made in the forward pass, where the logits are at hand: backward multiplies it by what
each token's loss asks for, so any objective of token log-probabilities is served. A trained head gets its gradient
there too where the loss is a weighted sum, and by computing the chunk's logits once more where it is not.

Letters: S positions, D width, V vocabulary, C positions of a chunk, K alternatives at a position.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from luthier.model.plan import HEAD_CHUNK_BYTES

BLOCK_BYTES = {"cpu": 2 * 2**20}
"""Float32 logits that softmax works on at a time: what stays in a core's cache between its six walks over them."""
CHUNK_BYTES = {"cpu": HEAD_CHUNK_BYTES}
"""Float32 logits of one matrix product."""
ELSEWHERE_BYTES = 2**29
"""Both, on an accelerator: enough rows to fill it."""


@dataclass(frozen=True)
class LogitForm:
    """What a model makes of its head's output before the softmax: `cap * tanh(scale * output / cap)`."""

    scale: float = 1.0
    cap: float | None = None


PLAIN = LogitForm()
FACTORS = {"logit_scale": 1, "logits_scaling": -1, "lm_head_multiplier": 1}
"""Keys of configs that scale logits, and the power they are taken to: Cohere's, Granite's, Falcon-H1's."""


def logit_form(config: Any) -> LogitForm:
    """Read from a model's config what is done to its logits."""
    text = config.get_text_config()
    scale = 1.0
    for key, power in FACTORS.items():
        scale *= float(getattr(text, key, None) or 1.0) ** power
    cap = getattr(text, "final_logit_softcapping", None)
    return LogitForm(scale, float(cap) if cap else None)


class _Linear(NamedTuple):
    """The head as tensors: weight (V, D), bias (V,)."""

    weight: Tensor
    bias: Tensor | None
    form: LogitForm


def _rows_at_once(logits: Tensor, vocabulary: int, most_bytes: dict[str, int]) -> int:
    return max(1, most_bytes.get(logits.device.type, ELSEWHERE_BYTES) // (4 * vocabulary))


def _soften(logits_CV: Tensor, target_CK: Tensor, head: _Linear, upstream_CK: Tensor | None) -> Tensor:
    """Give log-probabilities of targets, (C, K); where `upstream` is given, turn `logits` into its gradient in place.

    The gradient of sum_k u_k log p(k) is (sum_k u_k onehot_k) - (sum_k u_k) p, by the chain through cap and scale.
    """
    found = torch.empty(target_CK.shape, dtype=torch.float32, device=logits_CV.device)
    rows, form = _rows_at_once(logits_CV, logits_CV.shape[1], BLOCK_BYTES), head.form
    for begin in range(0, len(logits_CV), rows):
        part = slice(begin, begin + rows)
        values = logits_CV[part].float()
        if head.bias is not None:
            values = values + head.bias
        if form.scale != 1.0:
            values = values * form.scale
        tanh = None
        if form.cap is not None:
            tanh = torch.tanh(values / form.cap)
            values = tanh * form.cap
        target = target_CK[part]
        top = values.amax(1, keepdim=True)
        chosen = values.gather(1, target) - top
        shares = values.sub_(top).exp_()  # of float32 logits this writes into the chunk itself, which is ours
        total = shares.sum(1, keepdim=True)
        found[part] = chosen - total.log()
        if upstream_CK is None:
            continue
        upstream = upstream_CK[part] * form.scale
        shares.mul_(upstream.sum(1, keepdim=True) / -total).scatter_add_(1, target, upstream)
        if tanh is not None:
            shares.mul_(tanh.square_().neg_().add_(1.0))
        logits_CV[part] = shares.to(logits_CV.dtype)
    return found


def _chunks(hidden_SD: Tensor, weight_VD: Tensor) -> list[slice]:
    rows = _rows_at_once(hidden_SD, weight_VD.shape[0], CHUNK_BYTES)
    return [slice(begin, begin + rows) for begin in range(0, len(hidden_SD), rows)]


class _Gradients:
    """What a pass over the chunks adds up: gradients of hidden states, weight and bias, where they are wanted."""

    def __init__(self, hidden_SD: Tensor, head: _Linear, wants: tuple[bool, bool, bool]) -> None:
        float32 = torch.float32
        self.hidden = torch.empty_like(hidden_SD) if wants[0] else None
        # float32: thousands of chunks are added up over a step
        self.weight = torch.zeros_like(head.weight, dtype=float32) if wants[1] else None
        self.bias = torch.zeros_like(head.bias, dtype=float32) if wants[2] and head.bias is not None else None

    def add(self, part: slice, grad_CV: Tensor, hidden_CD: Tensor, weight_VD: Tensor) -> None:
        if self.hidden is not None:
            torch.mm(grad_CV, weight_VD, out=self.hidden[part])
        if self.weight is not None:
            self.weight.add_(grad_CV.t() @ hidden_CD)
        if self.bias is not None:
            self.bias.add_(grad_CV.sum(0, dtype=torch.float32))


def _walk(
    hidden_SD: Tensor, head: _Linear, target_SK: Tensor, upstream_SK: Tensor | None, wants: tuple[bool, bool, bool]
) -> tuple[Tensor, _Gradients]:
    """Give log-probabilities, (S, K), and the gradients of their sum weighted by `upstream`."""
    found = torch.empty(target_SK.shape, dtype=torch.float32, device=hidden_SD.device)
    weight = head.weight.to(hidden_SD.dtype)
    made = _Gradients(hidden_SD, head, wants)
    upstream = upstream_SK if any(wants) else None
    for part in _chunks(hidden_SD, weight):
        logits_CV = hidden_SD[part] @ weight.t()
        found[part] = _soften(logits_CV, target_SK[part], head, None if upstream is None else upstream[part])
        if upstream is not None:
            made.add(part, logits_CV, hidden_SD[part], weight)
    return found, made


class _WeightedLoss(torch.autograd.Function):
    """-sum_s weight_s log p(target_s): every gradient is made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        target_S: Tensor,
        weight_S: Tensor,
        form: LogitForm,
    ) -> Tensor:
        head = _Linear(weight_VD, bias_V, form)
        wants = ctx.needs_input_grad[:3]
        found, made = _walk(hidden_SD, head, target_S[:, None], -weight_S[:, None], wants)
        ctx.save_for_backward(made.hidden, made.weight, made.bias)
        ctx.dtypes = weight_VD.dtype, None if bias_V is None else bias_V.dtype
        return -(found[:, 0] @ weight_S)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        dtypes = ctx.dtypes
        return (
            None if hidden is None else hidden * grad.to(hidden.dtype),
            None if weight is None else (weight * grad).to(dtypes[0]),
            None if bias is None else (bias * grad).to(dtypes[1]),
            None,
            None,
            None,
        )


class _LogProbs(torch.autograd.Function):
    """log p(target_sk), (S, K), whatever gradient comes back for each."""

    @staticmethod
    def forward(
        ctx: Any, hidden_SD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, target_SK: Tensor, form: LogitForm
    ) -> Tensor:
        head = _Linear(weight_VD, bias_V, form)
        wants = ctx.needs_input_grad[:3]
        # the gradient of each position is known up to a factor only where one number comes back for it
        is_ready = wants == (True, False, False) and target_SK.shape[1] == 1
        ones = torch.ones(target_SK.shape, device=hidden_SD.device) if is_ready else None
        found, made = _walk(hidden_SD, head, target_SK, ones, wants if is_ready else (False, False, False))
        ctx.form, ctx.is_ready = form, is_ready
        ctx.save_for_backward(*((made.hidden,) if is_ready else (hidden_SD, weight_VD, bias_V, target_SK)))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_SK: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.is_ready:
            (unit_SD,) = ctx.saved_tensors
            return (unit_SD * grad_SK.to(unit_SD.dtype), None, None, None, None)
        hidden_SD, weight_VD, bias_V, target_SK = ctx.saved_tensors
        head = _Linear(weight_VD, bias_V, ctx.form)
        _, made = _walk(hidden_SD, head, target_SK, grad_SK.float(), ctx.needs_input_grad[:3])
        weight = None if made.weight is None else made.weight.to(weight_VD.dtype)
        bias = None if made.bias is None or bias_V is None else made.bias.to(bias_V.dtype)
        return made.hidden, weight, bias, None, None


def _linear(head: Any) -> Any:
    """Give the plain linear layer a head is, or None: then only calling it is right (an adapter sits on it)."""
    inner = getattr(head, "modules_to_save", None)  # PEFT's wrapper of a head that is trained whole
    if inner is not None and len(head.active_adapters) == 1:
        head = inner[head.active_adapters[0]]
    return head if type(head) is nn.Linear else None


def head_loss(
    hidden_SD: Tensor, head: nn.Module, target_S: Tensor, weight_S: Tensor | None = None, form: LogitForm = PLAIN
) -> Tensor:
    """Give the weighted sum of -log p(target) over positions, in nats, as a float32 scalar.

    `hidden_SD` are the decoder's last hidden states at the positions that predict `target_S`, `weight_S` float32
    (None: 1 each). A frozen head gets no gradient. An empty batch gives 0.
    """
    weights = torch.ones(len(target_S), device=hidden_SD.device) if weight_S is None else weight_S
    linear = _linear(head)
    if linear is None:
        return -(_called(hidden_SD, head, target_S[:, None], form)[:, 0] @ weights)
    loss: Tensor = _WeightedLoss.apply(hidden_SD, linear.weight, linear.bias, target_S, weights, form)  # type: ignore[no-untyped-call]
    return loss


def head_logprobs(hidden_SD: Tensor, head: nn.Module, target: Tensor, form: LogitForm = PLAIN) -> Tensor:
    """Give log p(target) at each position, in nats, float32, in the shape of `target`: (S,), or (S, K) for K targets.

    Each may be weighed and summed as an objective likes; what comes back is right for any of it.
    """
    linear = _linear(head)
    target_SK = target[:, None] if target.dim() == 1 else target
    if linear is None:
        found = _called(hidden_SD, head, target_SK, form)
    else:
        found = _LogProbs.apply(hidden_SD, linear.weight, linear.bias, target_SK, form)  # type: ignore[no-untyped-call]
    return found.view(target.shape)


def _called(hidden_SD: Tensor, head: nn.Module, target_SK: Tensor, form: LogitForm) -> Tensor:
    """Log-probabilities through the head's own code: chunk by chunk, computed once more for backward."""

    def one(hidden_CD: Tensor, target_CK: Tensor) -> Tensor:
        logits_CV: Tensor = head(hidden_CD).float() * form.scale
        if form.cap is not None:
            logits_CV = torch.tanh(logits_CV / form.cap) * form.cap
        return torch.log_softmax(logits_CV, -1).gather(1, target_CK)

    rows = _rows_at_once(hidden_SD, getattr(head, "out_features", 2**16), CHUNK_BYTES)
    parts = [
        checkpoint(one, hidden_SD[begin : begin + rows], target_SK[begin : begin + rows], use_reentrant=False)
        for begin in range(0, max(1, len(hidden_SD)), rows)
    ]
    return torch.cat(parts)
