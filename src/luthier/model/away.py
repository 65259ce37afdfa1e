"""Weights that lie elsewhere and come when their module is called: how to tell them, and how to stand in for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

HOOK = "_hf_hook"
"""Where accelerate keeps what brings a module's weights."""


def is_away(module: Any) -> bool:
    """Whether a module's weight lies elsewhere, and comes only when the module is called."""
    return bool(module.weight.is_meta) and hasattr(module, HOOK)


@contextmanager
def stand_ins(model: Any) -> Iterator[None]:
    """Let weights that are elsewhere look as if they lay where they are computed, without taking room: an adapter is
    made on the device of the weights it stands beside."""
    away = [
        (module, name, parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.is_meta and hasattr(module, HOOK)
    ]
    for module, name, parameter in away:
        one = torch.zeros((), dtype=parameter.dtype, device=getattr(module, HOOK).execution_device)
        setattr(module, name, nn.Parameter(one.expand(parameter.shape), requires_grad=False))
    try:
        yield
    finally:
        for module, name, parameter in away:
            parameter.requires_grad_(getattr(module, name).requires_grad)
            setattr(module, name, parameter)
