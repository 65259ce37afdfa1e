"""Adapters of the tiny model as artifacts, their weights drawn and not learned: a merge does not care."""

from pathlib import Path
from typing import Any

import torch

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.event import hush
from luthier.model.adapt import add_lora, save_adapter, trainable
from luthier.model.load import load_causal


def drawn(model: Artifact, store: Store, seed: int, *, r: int = 4, quantize: str = "none") -> Artifact:
    """Give a LoRA adapter on every linear layer, its weights drawn by a seed."""

    def build(out: Path, work: Path) -> dict[str, Any]:
        base = load_causal(model.folder, dtype="float32", device="cpu")
        adapted = add_lora(base, r=r, alpha=2 * r, dropout=0.0, targets="all-linear", seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for _, parameter in trainable(adapted):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
        save_adapter(adapted, out, model.id)
        return {}

    spec = {"seed": seed, "r": r, "quantize": quantize}
    return store.make(Order("adapter", "tune", 1, spec, {"model": model.id}), build, hush)
