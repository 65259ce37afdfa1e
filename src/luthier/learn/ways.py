"""How a pass is computed on the model at hand: each way is tried on a few rows, and kept if the loss stays the same."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from luthier.artifact.tokens import Tokens
from luthier.event import Chose, Tell
from luthier.learn.objective import Supervised, packed_loss, plain_loss
from luthier.learn.packing import total_weight
from luthier.model.attention import NAME as DOCUMENTS
from luthier.model.compile import choose_compile, compile_layers, decompile_layers
from luthier.model.gate import gate_lean, gate_plain
from luthier.model.layers import checkpoint_layers, narrow_last, widen_last

TOLERANCE = {torch.float32: 1e-4}
"""Most that two ways may differ, in nats per token: the same sums in another order. float32 keeps 24 bits."""
COARSE_TOLERANCE = 5e-3
"""The same for bfloat16, which keeps 8."""
PREFIX = 20
"""With how many tokens the rows of a probe begin alike, so that sharing what rows begin with is tried too."""


@dataclass(frozen=True)
class Ways:
    """What is asked for; none of it changes what is learned."""

    compile: Literal["auto", "on", "off"] = "off"
    """Whether layers are compiled; auto: where it saves more time than it takes."""
    tokens: int = 0
    """How many tokens the run computes, all epochs counted."""
    checkpoint: bool = False
    """Whether layers are computed once more for backward, so that only their inputs are kept."""
    offload: bool = False
    """Whether what backward needs waits in the memory beside the CPU."""
    plain: bool = False
    """Whether layers are left as they are: their weights come and go, and who exchanges a forward pass must not."""


AS_IT_COMES = Ways()


def supervised(
    model: Any, rows: Sequence[Tokens], tokens_per_pass: int, tell: Tell, ways: Ways = AS_IT_COMES
) -> Supervised:
    """Choose how to compute the loss on this architecture: packed if that gives what one by one gives, and so on.

    `rows` are a few training rows to try it on. Every choice is told.
    """
    probe = _probe(rows)
    packed, why = _try_packed(model, probe)
    tell(Chose("passes", "packed" if packed else "one example each", why))
    if packed and ways.plain:
        tell(Chose("ways", "layers as they are", "their weights come and go"))
        return Supervised(model, packed, tokens_per_pass)
    if packed:
        narrow, why = _try_narrow(model, probe)
        tell(Chose("last layer", "learned places only" if narrow else "every place", why))
    compiled, why = _try_compiled(model, probe, ways) if packed else (False, "one example each is no shape to compile")
    tell(Chose("compile", "on" if compiled else "off", why))
    if packed and not compiled:  # a compiler finds by itself what need not be kept
        lean, why = _try_gates(model, probe)
        tell(Chose("gates", "lean" if lean else "as they come", why))
    if ways.checkpoint:
        tell(Chose("activations", f"{checkpoint_layers(model)} layers computed twice", "learn.checkpoint_activations"))
    offload = ways.offload and model.device.type != "cpu"
    if ways.offload:
        why = "learn.offload_activations" if offload else "the device is the CPU: they are there already"
        tell(Chose("offload", "on" if offload else "off", why))
    return Supervised(model, packed, tokens_per_pass, compiled, offload)


def _probe(rows: Sequence[Tokens]) -> list[Tokens]:
    """A few rows, cut short, that begin alike."""
    first = rows[0].ids[:PREFIX]
    ids = [np.concatenate([first, row.ids[:64]]) for row in rows[:3]]
    return [Tokens(each, np.arange(len(each)) >= len(first)) for each in ids]


def _try_packed(model: Any, probe: Sequence[Tokens]) -> tuple[bool, str]:
    own = model.config._attn_implementation
    with torch.no_grad():
        try:
            model.set_attn_implementation("eager")  # the fused kernel of a CPU is 0.02 nat per token off in bfloat16
            expected = float(plain_loss(model, probe))
            model.set_attn_implementation(DOCUMENTS)
            found = float(packed_loss(model, probe))
        except (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError, IndexError) as error:
            model.set_attn_implementation(own)
            return False, f"this architecture cannot be packed here: {_first_line(error)}"
    difference = abs(found - expected) / total_weight(probe)
    if not difference <= _tolerance(model):
        model.set_attn_implementation(own)
        return False, f"packed and plain losses differ by {difference:.2g} nat per token on a probe"
    return True, f"packed and plain losses agree on a probe (to {difference:.1g} nat per token)"


def _try_narrow(model: Any, probe: Sequence[Tokens]) -> tuple[bool, str]:
    def same() -> float:
        with torch.no_grad():
            return float(packed_loss(model, probe))

    expected = same()
    if not narrow_last(model):
        return False, "its layers are built in another way than norm, attention, norm, MLP"
    return _compared(model, probe, expected, same, lambda: widen_last(model))


def _try_gates(model: Any, probe: Sequence[Tokens]) -> tuple[bool, str]:
    def same() -> float:
        with torch.no_grad():
            return float(packed_loss(model, probe))

    expected = same()
    if not gate_lean(model):
        return False, "no MLP is down(silu(gate) * up)"
    return _compared(model, probe, expected, same, lambda: gate_plain(model))


def _try_compiled(model: Any, probe: Sequence[Tokens], ways: Ways) -> tuple[bool, str]:
    choice = choose_compile(ways.compile, ways.tokens, model)
    if choice.value == "off":
        return False, choice.why
    if any(isinstance(module, nn.Dropout) and module.p for module in model.modules()):
        return False, "compiled dropout draws other numbers"
    with torch.no_grad():
        expected = float(packed_loss(model, probe))
    compile_layers(model)

    def trained() -> float:
        with warnings.catch_warnings():
            # torch's tracer looks at what every tensor it meets holds, and warns itself of those without a gradient
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
            loss = packed_loss(model, probe)
            torch.autograd.backward(loss)  # backward is compiled on its own
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    works, why = _compared(model, probe, expected, trained, lambda: decompile_layers(model))
    return works, choice.why if works else why


def _compared(
    model: Any, probe: Sequence[Tokens], expected: float, way: Callable[[], float], undo: Callable[[], None]
) -> tuple[bool, str]:
    """Try a way: whether it gives the loss that is expected. One that does not, or fails, is undone."""
    try:
        difference = abs(way() - expected) / total_weight(probe)
    except (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError, IndexError) as error:
        undo()
        return False, f"it fails here: {_first_line(error)}"
    if not difference <= _tolerance(model):
        undo()
        return False, f"losses differ by {difference:.2g} nat per token on a probe"
    return True, f"losses agree on a probe (to {difference:.1g} nat per token)"


def _tolerance(model: Any) -> float:
    return TOLERANCE.get(model.dtype, COARSE_TOLERANCE)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
