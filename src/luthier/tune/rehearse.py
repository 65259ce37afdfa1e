"""A step rehearsed on torch's meta device: every operation is made, no number computed, every byte counted.

The model is the real one without weights, with the real adapter on it and the real rows' lengths, so what autograd
keeps is counted, not estimated, for any method and architecture.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface

from luthier.artifact.tokens import Tokens
from luthier.learn.objective import plain_loss
from luthier.learn.packing import fill, lay
from luthier.model.adapt import trainable
from luthier.model.attention import NAME as DOCUMENTS
from luthier.model.attention import documents
from luthier.model.layers import checkpoint_layers, narrow_last
from luthier.model.lora import lean
from luthier.model.methods import METHODS, Wishes, put_on
from luthier.model.own_weights import Masters
from luthier.tune.incompatible import OWN, VIRTUAL
from luthier.tune.opening import LORA
from luthier.tune.plan_load import Load
from luthier.tune.spec import TuneSpec

FUSED = "luthier_fused"
UNPACKABLE = (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError, IndexError)
"""What an architecture that cannot be packed raises, here as in the objective's own probe."""


@dataclass(frozen=True)
class Rehearsed:
    """What a pass takes beside weights, masters, gradients and the optimizer's state, at its peak, in bytes."""

    train_bytes: int
    kept_bytes: int
    """What backward needs, all of it, before there is a gradient."""
    dev_bytes: int
    """The same for a pass over dev rows, without gradients."""
    packed: bool
    supervised: int
    """Tokens of the largest pass whose loss is taken."""


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that are alive, and their highest sum."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.peak = 0
        self._sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, Tensor):
                self._see(one.untyped_storage())
        return found

    def _see(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = size = storage.nbytes()
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)


def rehearse(skeleton: Any, spec: TuneSpec, load: Load, device: str) -> Rehearsed:
    """Make one pass forward and backward on a model without weights; it is changed: an adapter is put on it."""
    kind = spec.adapter.kind
    adapted, inner = _adapted(skeleton, spec, load)
    named = dict(trainable(adapted))
    known = [*adapted.parameters(), *adapted.buffers()]
    wants_packing = METHODS[kind].packs and spec.learn.packing != "never"
    if kind in OWN:
        masters = Masters(named)
        known += masters.named.values()
    trained = sum(parameter.numel() for parameter in named.values())

    def counted(packed: bool) -> Rehearsed:
        passes = list(fill(load.largest, spec.learn.tokens_per_pass)) if packed else [[load.longest]]
        largest = max(passes, key=lambda rows: sum(len(row.ids) for row in rows))
        several = len(passes) > 1 or not packed
        one = _packed_pass(inner, spec, device) if packed else _plain_pass(inner, load, device)
        train, kept = _peak(known, lambda between: one(largest, between), 2 if several else 1)
        dev = next(fill(load.dev, spec.learn.tokens_per_pass)) if packed and load.dev else [load.longest]
        with torch.no_grad():
            looked, _ = _peak(known, lambda between: one(dev, None), 1)
        return Rehearsed(max(0, train - 4 * trained), kept, looked, packed, sum(row.supervised for row in largest))

    if wants_packing:
        try:
            return counted(True)
        except UNPACKABLE:
            for parameter in named.values():
                parameter.grad = None
    return counted(False)


def _adapted(model: Any, spec: TuneSpec, load: Load) -> tuple[Any, Any]:
    adapter = spec.adapter
    wishes = Wishes(
        r=adapter.r,
        alpha=adapter.scale_alpha,
        dropout=adapter.dropout,
        targets=adapter.targets,
        save=adapter.save,
        tokens=adapter.tokens,
        layers=adapter.layers,
        steps=load.steps or 100,
        task="SEQ_CLS" if load.outputs else "CAUSAL_LM",
    )
    # pissa begins from the weights' singular values, which are not here; its layers are LoRA's
    adapted = put_on(model, "lora" if adapter.kind == "pissa" else adapter.kind, wishes, spec.seed)
    adapted.train()
    if adapter.kind in OWN:
        return adapted, adapted
    if adapter.kind in LORA and spec.quantize == "none":
        lean(adapted)
    return adapted, adapted if adapter.kind in VIRTUAL else adapted.get_base_model()


Between = Callable[[], None]
"""Called when the forward pass is done and backward is not begun."""
Pass = Callable[[Sequence[Tokens], Between | None], None]
"""A pass over rows; without `Between`, nothing is learned."""


def _peak(known: Sequence[Tensor], one_pass: Callable[[Between], None], times: int) -> tuple[int, int]:
    """Give the highest count of bytes, and how many there are between the first forward and backward."""
    live, kept = Live(known), list[int]()
    with live:
        for _ in range(times):
            one_pass(lambda: kept.append(live.bytes))
    for tensor in known:
        tensor.grad = None
    return live.peak, kept[0] if kept else 0


def _packed_pass(model: Any, spec: TuneSpec, device: str) -> Pass:
    model.set_attn_implementation(DOCUMENTS if device == "cpu" else FUSED)
    if model.get_output_embeddings() is not None:
        narrow_last(model)
    if spec.learn.checkpoint_activations:
        checkpoint_layers(model)

    def run(rows: Sequence[Tokens], between: Between | None) -> None:
        laid = lay(rows, share=device == "cpu", device="meta")
        with documents(laid.spans, laid.prefix, laid.before) as row:
            hidden_ND = model.base_model(
                input_ids=laid.ids[None], position_ids=laid.positions[None], use_cache=False
            ).last_hidden_state[0]
        if device == "cpu" and not row.calls:
            raise NotImplementedError("attention does not go through the interface")
        hidden_SD = hidden_ND if row.is_narrow else hidden_ND[laid.before]
        if between is not None:
            between()
            torch.autograd.backward(hidden_SD, torch.empty_like(hidden_SD))

    return run


def _plain_pass(model: Any, load: Load, device: str) -> Pass:
    model.set_attn_implementation(FUSED)

    def run(rows: Sequence[Tokens], between: Between | None) -> None:
        if load.outputs:
            ids = torch.from_numpy(rows[0].ids.astype("int64")).to("meta")
            loss = model(input_ids=ids[None], use_cache=False).logits.float().sum()
        else:
            loss = plain_loss(model, rows[:1])
        if between is not None:
            between()
            torch.autograd.backward(loss)

    return run


class _Fused(torch.autograd.Function):
    """Attention as fused kernels make it: they keep queries, keys, values and the output, no weights."""

    @staticmethod
    def forward(ctx: Any, query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor) -> Tensor:
        output = torch.empty_like(query_HTD)
        ctx.save_for_backward(query_HTD, key_KTD, value_KTD, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_HTD: Tensor) -> tuple[Tensor, ...]:
        query_HTD, key_KTD, value_KTD, _ = ctx.saved_tensors
        return torch.empty_like(query_HTD), torch.empty_like(key_KTD), torch.empty_like(value_KTD)


def _fused(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **more: Any) -> Any:
    found: Tensor = _Fused.apply(query, key, value)  # type: ignore[no-untyped-call]
    return found.transpose(1, 2).contiguous(), None


AttentionInterface.register(FUSED, _fused)
