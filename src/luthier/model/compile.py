"""Compiled layers: what lies between the matrix products, written by torch's compiler as one loop each.

All layers share one compilation: they have the same code and the same shapes but for the number of tokens. Matrix
products, LoRA and attention stay as they are. The first layer (whose input may have no gradient) and one that was
exchanged before stay uncompiled: each would be a compilation of its own.
"""

import os
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from luthier.model.layers import Forward, decoder_layers, exchange, restore
from luthier.model.machine import Choice

Setting = Literal["auto", "on", "off"]
COMPILE_SECONDS = 40.0
"""CPU seconds a compilation takes; 9 where its machine code lies in the cache, but the choice must not hang on what
lies there, for it bears on bits (SmolLM2-135M, AMD EPYC 9004)."""
SAVED_SECONDS = 3.3e-9
"""CPU seconds saved for one token in one layer, for each value of its width and its MLP's: 5.6 % of a step of that
model (29 layers of 576 + 1,536) on that machine."""


def cache_folder() -> Path:
    """Give where compiled code is kept: the user's cache folder, so that it outlives the process and the restart."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "luthier" / "inductor"


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which torch's compiler needs for a CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)


def choose_compile(setting: Setting, tokens: int, model: Any) -> Choice:
    """Choose whether compiling pays for a run over so many tokens, the tokens of all its epochs counted."""
    if setting == "off":
        return Choice("off", "learn.compile=off")
    count = len(_compilable(model))
    if count == 0:
        known = len(decoder_layers(model))
        why = "this architecture keeps its layers where we do not know"
        return Choice("off", f"{known} layers have none alike to share a compilation" if known else why)
    device = model.device.type
    if device not in ("cpu", "cuda"):
        return Choice("off", f"torch's compiler is not used on {device}")
    if device == "cpu" and not has_compiler():
        return Choice("off", "there is no C++ compiler: install g++ or clang++ to train faster")
    if setting == "on":
        return Choice("on", "learn.compile=on")
    config = model.config.get_text_config()
    width = config.hidden_size + (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    saved = SAVED_SECONDS * tokens * count * width
    why = f"it takes about {COMPILE_SECONDS:.0f} s and saves about {saved:.0f} s of {tokens:,} tokens"
    return Choice("on" if saved > COMPILE_SECONDS else "off", why)


def compile_layers(model: Any) -> int:
    """Compile the layers for training; without a gradient they run as before. Gives how many are compiled."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder()))
    layers = _compilable(model)
    for layer in layers:
        exchange(layer, _compiled(layer.forward))
    return len(layers)


def decompile_layers(model: Any) -> None:
    """Undo `compile_layers`."""
    for layer in decoder_layers(model)[1:]:
        if hasattr(layer.__dict__.get("forward"), "uncompiled"):
            restore(layer)


def _compilable(model: Any) -> list[nn.Module]:
    return [layer for layer in decoder_layers(model)[1:] if "forward" not in layer.__dict__]


def _compiled(forward: Forward) -> Forward:
    compiled = torch.compile(forward, dynamic=True)

    def run(*args: Any, **more: Any) -> Any:
        # a pass without gradients would be a second compilation
        return (compiled if torch.is_grad_enabled() else forward)(*args, **more)

    run.uncompiled = forward  # type: ignore[attr-defined]
    return run
