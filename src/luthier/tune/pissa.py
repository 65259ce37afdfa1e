"""PiSSA's adapter as a plain LoRA on the untouched base, so that others can load it.

Training moves A and B away from the largest singular directions A0 and B0, which were taken out of the weights. What
changed is B A - B0 A0: a LoRA of twice the rank (Meng et al. 2024, arXiv:2404.02948, appendix C).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from luthier.model.adapt import CONFIG, WEIGHTS


class Beginning:
    """A0 and B0, kept on the processor."""

    def __init__(self, adapted: Any) -> None:
        self._tensors = {
            name.replace(".default", ""): parameter.detach().cpu().clone()
            for name, parameter in adapted.named_parameters()
            if parameter.requires_grad and (".lora_A." in name or ".lora_B." in name)
        }

    def as_lora(self, folder: Path) -> None:
        """Rewrite a saved adapter as a LoRA of twice the rank on the base as it was."""
        weights = load_file(folder / WEIGHTS)
        for name, first in self._tensors.items():
            if ".lora_A." in name:
                weights[name] = torch.cat([weights[name], first])
            else:
                weights[name] = torch.cat([weights[name], -first], dim=1)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS, {"format": "pt"})
        path = folder / CONFIG
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {"r": 2 * config["r"], "lora_alpha": 2 * config["lora_alpha"], "init_lora_weights": True}
        path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
