"""A model's own weights, trained: float32 masters beside narrower ones, and only what changed on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.errors import ModelError

WEIGHTS = "changed.safetensors"
CONFIG = "changed.json"


class Masters:
    """Float32 copies of the trained weights of a model in a narrower format.

    Gradients are gathered in float32, pass by pass, and leave the narrow weights at once; the optimizer changes the
    masters; `show` writes them back. In bfloat16 alone most steps of a small rate would round to nothing
    (Micikevicius et al. 2017, arXiv:1710.03740, section 3.1). Float32 weights are their own masters.
    """

    def __init__(self, named: Mapping[str, nn.Parameter]) -> None:
        self._narrow = dict(named)
        self.named = {name: _master(parameter) for name, parameter in named.items()}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(_gather(self.named[name]))  # type: ignore[no-untyped-call]
            for name, parameter in named.items()
            if self.named[name] is not parameter
        ]

    @torch.no_grad()
    def show(self) -> None:
        """Write the masters into the model's weights."""
        for name, master in self.named.items():
            if master is not self._narrow[name]:
                self._narrow[name].copy_(master)

    def save(self, folder: Path) -> None:
        """Write the masters, for a checkpoint."""
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.named.items()}, folder / WEIGHTS)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Read them back, and show them."""
        for name, tensor in load_file(folder / WEIGHTS).items():
            self.named[name].copy_(tensor)
        self.show()


def _master(parameter: nn.Parameter) -> nn.Parameter:
    return parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())


def _gather(master: nn.Parameter) -> Any:
    def gather(parameter: Tensor) -> None:
        if parameter.grad is not None:
            wide = parameter.grad.float()
            master.grad = wide if master.grad is None else master.grad.add_(wide)
            parameter.grad = None

    return gather


def save_changed(named: Mapping[str, Tensor], folder: Path, base: str, kind: str) -> None:
    """Write the trained weights as the model holds them, and what they belong to."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}, folder / WEIGHTS)
    text = json.dumps({"base_model_name_or_path": base, "kind": kind}, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


@torch.no_grad()
def load_changed(model: nn.Module, folder: Path) -> None:
    """Put trained weights into their base. Raises ModelError if they are of another model."""
    places = dict(model.named_parameters(remove_duplicate=False))
    changed = load_file(folder / WEIGHTS)
    for name, tensor in changed.items():
        if name not in places or places[name].shape != tensor.shape:
            there = tuple(places[name].shape) if name in places else "none"
            raise ModelError(
                f"the tuned weight {name} has the shape {tuple(tensor.shape)}, the model {there}",
                where=str(folder),
                mend="put it on the base it was made with",
            )
    for name, tensor in changed.items():
        places[name].copy_(tensor)
