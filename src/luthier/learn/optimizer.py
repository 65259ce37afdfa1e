"""The optimizers by name, each over parameter groups that carry their own share of the rate."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import SpecError, ToolError
from luthier.learn.galore import GaLore

Group = dict[str, Any]
"""What torch takes for a group (params, lr, weight_decay); `share`: its part of the run's rate; `table`: whether its
rows are tokens, not directions of a map."""


@dataclass(frozen=True)
class Kind:
    """One row: how such an optimizer is made, and what to know before one takes it."""

    make: Callable[[list[Group]], list[torch.optim.Optimizer]]
    state_bytes: float
    """Bytes of state for each trained parameter, for the plan."""
    about: str
    devices: tuple[str, ...] = ()
    """The only devices it works on; none: any."""


def _adamw(groups: list[Group]) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(groups)]


def _sgd(groups: list[Group]) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(groups, lr=1.0, momentum=0.9)]


def _adafactor(groups: list[Group]) -> list[torch.optim.Optimizer]:
    # torch's steps are relative to a weight's size, for a LoRA B that begins as zeros a thousandth of the rate: with a
    # floor of 1 a step is the rate, as AdamW's is (arXiv:1804.04235, section 8, has both forms)
    return [torch.optim.Adafactor(groups, lr=1.0, eps=(None, 1.0))]


def _muon(groups: list[Group]) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for what has one dimension, for embeddings and the head (Jordan et al. 2024)."""
    matrices, others = _matrices(groups)
    # "match_rms_adamw" scales updates so that AdamW's rates hold (Liu et al. 2025, arXiv:2502.16982, section 2.2)
    made: list[torch.optim.Optimizer] = []
    if matrices:
        made.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw"))
    return [*made, *([torch.optim.AdamW(others)] if others else [])]


def _galore(groups: list[Group]) -> list[torch.optim.Optimizer]:
    matrices, others = _matrices(groups)
    made: list[torch.optim.Optimizer] = [GaLore(matrices)] if matrices else []
    return [*made, *([torch.optim.AdamW(others)] if others else [])]


def _bitsandbytes(name: str) -> Callable[[list[Group]], list[torch.optim.Optimizer]]:
    def make(groups: list[Group]) -> list[torch.optim.Optimizer]:
        try:
            import bitsandbytes  # 3 s: only for those who ask for it
        except ImportError:
            raise ToolError(
                f"the optimizer {name} needs bitsandbytes, which is not installed",
                where="key learn.optimizer",
                mend="pip install 'luthier[quantize]', or set learn.optimizer=adamw",
            ) from None
        made: torch.optim.Optimizer = getattr(bitsandbytes.optim, name)(groups)
        return [made]

    return make


OPTIMIZERS: dict[str, Kind] = {
    "adamw": Kind(_adamw, 8, "the default: Adam with decoupled decay (arXiv:1711.05101)"),
    "adamw_8bit": Kind(_bitsandbytes("AdamW8bit"), 2.1, "its state in 8 bits (arXiv:2110.02861)"),
    "paged_adamw_8bit": Kind(
        _bitsandbytes("PagedAdamW8bit"), 2.1, "the same, paged to main memory when a GPU is full", ("cuda",)
    ),
    "adafactor": Kind(
        _adafactor, 0.1, "rows and columns of the second moment only, at AdamW's rates (arXiv:1804.04235)"
    ),
    "lion": Kind(_bitsandbytes("Lion"), 4, "the sign of a momentum; wants a third of AdamW's rate (arXiv:2302.06675)"),
    "muon": Kind(_muon, 4, "orthogonal updates of matrices, AdamW for the rest and for embeddings (arXiv:2502.16982)"),
    "galore": Kind(_galore, 2, "Adam in a low-rank space of the gradient, for full tuning (arXiv:2403.03507)"),
    "sgd": Kind(_sgd, 4, "with momentum 0.9; wants a hundred times AdamW's rate"),
}


class Optimizers:
    """One or two torch optimizers that step together; the rate of a step is set for all of them."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)

    def step(self, rate: float) -> None:
        """Change the weights at a rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * group["share"]
            part.step()

    def forget(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_of(self, parameter: nn.Parameter) -> Mapping[str, Tensor | int | float]:
        """Give what is remembered of a parameter; nothing before its first step."""
        for part in self.parts:
            if parameter in part.state:
                state: Mapping[str, Tensor | int | float] = part.state[parameter]
                return state
        return {}

    def remember(self, parameter: nn.Parameter, state: Mapping[str, Tensor | int]) -> None:
        """Put back what was remembered of a parameter."""
        for part in self.parts:
            if any(parameter is held for group in part.param_groups for held in group["params"]):
                part.state[parameter] = dict(state)


def open_optimizers(
    kind: str,
    named: Mapping[str, nn.Parameter],
    *,
    decay: float,
    shares: Callable[[str], float] = lambda name: 1.0,
    tables: Collection[str] = (),
) -> Optimizers:
    """Make the optimizers of a run.

    `shares` gives each parameter's part of the rate (LoRA+ gives B more), `tables` names the embeddings and the head.
    Vectors (norms, biases) do not decay.
    Raises SpecError for an unknown name or another device than it works on, ToolError if its package is not installed.
    """
    if kind not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise SpecError(f"there is no optimizer {kind!r}", where="key learn.optimizer", mend=f"give one of {known}")
    device, able = next(iter(named.values())).device.type, OPTIMIZERS[kind].devices
    if able and device not in able:
        raise SpecError(
            f"the optimizer {kind} works on {' and '.join(able)} only, this run is on {device}",
            where="key learn.optimizer",
            mend="set learn.optimizer=adamw_8bit, or run it on such a device",
        )
    return Optimizers(OPTIMIZERS[kind].make(list(_groups(named, decay, shares, tables))))


def _groups(
    named: Mapping[str, nn.Parameter], decay: float, shares: Callable[[str], float], tables: Collection[str]
) -> Iterable[Group]:
    sorted_out: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        key = (shares(name), decay if parameter.ndim >= 2 else 0.0, name in tables)
        sorted_out.setdefault(key, []).append(parameter)
    for (share, weight_decay, table), parameters in sorted_out.items():
        yield {"params": parameters, "lr": 1.0, "weight_decay": weight_decay, "share": share, "table": table}


def _matrices(groups: list[Group]) -> tuple[list[Group], list[Group]]:
    """Cut each group in two: matrices that map directions to directions, and the others; empty groups are left out."""
    halves: tuple[list[Group], list[Group]] = ([], [])
    for group in groups:
        for half, is_wanted in zip(halves, (True, False), strict=True):
            chosen = [one for one in group["params"] if (one.ndim == 2 and not group["table"]) is is_wanted]
            if chosen:
                half.append({**group, "params": chosen})
    return halves
