"""An opened model among several processes: whole in each, or cut over all of them; either way the first one saves."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.errors import SpecError, ToolError
from luthier.event import Chose, Tell
from luthier.learn.distributed import Processes
from luthier.model.methods import METHODS
from luthier.model.own_weights import WEIGHTS, save_changed
from luthier.tune.opening import Opened
from luthier.tune.spec import TuneSpec

ELEMENTWISE = ("adamw", "sgd")
"""Optimizers that look at each number alone: they work on a matrix that is in parts."""


def check_shard(spec: TuneSpec, device: str) -> None:
    """Raise SpecError or ToolError for settings that weights in parts do not go with."""
    if spec.learn.shard == "none":
        return
    if METHODS[spec.adapter.kind].config is None and spec.learn.optimizer not in ELEMENTWISE:
        raise SpecError(
            f"the optimizer {spec.learn.optimizer} needs whole matrices, learn.shard={spec.learn.shard} cuts them",
            where="key learn.optimizer",
            mend=f"set learn.optimizer={ELEMENTWISE[0]}, or learn.shard=none",
        )
    if spec.learn.shard == "offload" and device == "cpu":
        raise SpecError(
            "learn.shard=offload moves weights from an accelerator to main memory; on the processor they are there",
            where="key learn.shard",
            mend="set learn.shard=full",
        )
    if device not in ("cpu", "cuda", "xpu"):
        raise ToolError(
            f"weights cannot be cut over processes on {device!r}", where="key learn.shard", mend="set learn.shard=none"
        )


def loaded_as(spec: TuneSpec, device: str, dtype: str) -> tuple[str, str]:
    """Give the device and the format a model is loaded in: what is to be cut waits in main memory, and weights that
    are trained in parts are their own float32 masters."""
    if spec.learn.shard == "none":
        return device, dtype
    return "cpu", "float32" if METHODS[spec.adapter.kind].config is None else dtype


def spread(
    opened: Opened, spec: TuneSpec, base: str, device: str, dtype: str, processes: Processes, tell: Tell
) -> tuple[Opened, Processes]:
    """Make an opened model one of all processes. Gives it as each of them is to use it."""
    if spec.learn.shard == "none":
        return (opened if processes.is_first else replace(opened, save=_nowhere, save_final=_nowhere)), processes
    from luthier.learn.sharding import shard  # FSDP: 1 s, only for those who ask for it

    is_adapter = METHODS[spec.adapter.kind].config is not None
    root = shard(
        opened.model,
        device,
        processes.size,
        whole=is_adapter,
        dtype=getattr(torch, dtype),
        offload=spec.learn.shard == "offload",
    )
    what = "the frozen weights" if is_adapter else "weights, gradients and the optimizer's state"
    tell(Chose("shard", f"{what} in {processes.size} parts", f"learn.shard={spec.learn.shard}: FSDP2, layer by layer"))
    inside = replace(processes, root=root)
    if is_adapter:
        return (opened if processes.is_first else replace(opened, save=_nowhere, save_final=_nowhere)), inside
    return _own(opened, spec, base, getattr(torch, dtype), inside), inside


def _nowhere(folder: Path) -> None:
    return None


def _own(opened: Opened, spec: TuneSpec, base: str, dtype: torch.dtype, processes: Processes) -> Opened:
    """The model's own weights in parts: gathered to be saved, cut again when they are read."""
    from luthier.learn.sharding import gathered, put_back

    named: Mapping[str, nn.Parameter] = {
        name: parameter for name, parameter in opened.model.named_parameters() if parameter.requires_grad
    }

    def whole() -> dict[str, Tensor]:
        pairs = ((name, gathered(parameter)) for name, parameter in named.items())  # one at a time is whole
        return {name: tensor for name, tensor in pairs if processes.is_first}

    def save(folder: Path) -> None:
        weights = whole()
        if processes.is_first:
            save_file(weights, folder / WEIGHTS)

    def load(folder: Path) -> None:
        put_back(named, load_file(folder / WEIGHTS))

    def save_final(folder: Path) -> None:
        weights = whole()
        if processes.is_first:
            save_changed({name: tensor.to(dtype) for name, tensor in weights.items()}, folder, base, spec.adapter.kind)

    return replace(opened, named=named, save=save, load=load, save_final=save_final, after_step=_nothing)


def _nothing(step: int) -> None:
    return None


def first_only(processes: Processes, figures: Any) -> Mapping[str, Any]:
    """Take figures that compute with the model; the first process gets them."""
    found: Mapping[str, Any] = processes.looking(figures)
    return found
