"""AdaLoRA's own part of a run: rank moves to where it matters, and all it remembers is saved.

Source: Zhang et al. 2023, arXiv:2303.10512; the importance scores and the plan of ranks are PEFT's.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SCORES = "adalora.safetensors"
RANKS = "adalora.json"
KEPT = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AdaLora:
    """What PEFT's AdaLoRA wants done at every step."""

    def __init__(self, adapted: Any) -> None:
        self._tuner = adapted.base_model
        self._config = adapted.peft_config["default"]
        self._factors = [
            (name, parameter)
            for name, parameter in adapted.named_parameters()
            if ".lora_A." in name or ".lora_B." in name
        ]

    def after_step(self, step: int) -> None:
        """Score the triplets by the step's gradients, and mask those that matter least."""
        self._tuner.update_and_allocate(step)

    def extra_loss(self) -> Tensor:
        """Give the weighted distance of P and Q from orthogonal, which keeps triplets apart (equation 4)."""
        distances = [_distance(parameter if ".lora_A." in name else parameter.t()) for name, parameter in self._factors]
        weight: float = self._config.orth_reg_weight
        return torch.stack(distances).mean() * weight

    def save(self, folder: Path) -> None:
        """Write scores and ranks into a checkpoint."""
        allocator = self._tuner.rankallocator
        tensors = {f"{kind}:{name}": tensor.cpu() for kind in KEPT for name, tensor in getattr(allocator, kind).items()}
        save_file(tensors, folder / SCORES)
        (folder / RANKS).write_text(json.dumps(self._config.rank_pattern or {}), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read them back."""
        allocator = self._tuner.rankallocator
        allocator.reset_ipt()
        device = self._factors[0][1].device
        for full, tensor in load_file(folder / SCORES).items():
            kind, _, name = full.partition(":")
            getattr(allocator, kind)[name] = tensor.to(device)
        self._config.rank_pattern = json.loads((folder / RANKS).read_text(encoding="utf-8"))


def _distance(rows: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.norm(rows @ rows.t() - torch.eye(len(rows), device=rows.device))
    return distance
