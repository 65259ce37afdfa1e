"""A PEFT adapter in the form that openvino-genai puts on a graph, with what it would leave out in silence refused."""

import json
import re
from pathlib import Path
from typing import Any

from luthier.errors import ModelError

FACTORS = re.compile(r"(.+)\.lora_(A|B)\.weight$")


def write_adapter(adapter: Path, base: Path, out: Path) -> Path:
    """Write the factors of a LoRA adapter, each scale multiplied in. Gives the file's path.

    openvino-genai takes one alpha for all layers and no scale from PEFT's config: with the scale in the second factor,
    ranks and alphas of each layer by itself are exact. Raises ModelError for what is no plain LoRA, and for
    shapes that are not those of the base.
    """
    from safetensors.torch import load_file, save_file

    config: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    _check_plain(config, adapter)
    tensors = load_file(adapter / "adapter_model.safetensors")
    found = {}
    for name, tensor in tensors.items():
        match = FACTORS.fullmatch(name)
        if match is None:
            raise _refused(adapter, f"it has {name}, which is no factor of a LoRA")
        found[name] = tensor.float() * (_scale(config, match[1]) if match[2] == "B" else 1.0)
    _check_shapes(found, base, adapter)
    path = out / "adapter.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, path)
    return path


def _check_plain(config: dict[str, Any], adapter: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise _refused(adapter, f"its method is {config.get('peft_type')}")
    odd = [
        key
        for key in ("use_dora", "modules_to_save", "fan_in_fan_out", "lora_bias", "trainable_token_indices")
        if config.get(key)
    ]
    if odd or config.get("bias", "none") != "none":
        raise _refused(adapter, f"its config sets {(odd or ['bias'])[0]}")


def _scale(config: dict[str, Any], module: str) -> float:
    """What PEFT multiplies a layer's product by: alpha / r, or alpha / sqrt(r); patterns may name layers."""
    rank = float(_of_layer(config.get("rank_pattern"), module) or config["r"])
    alpha = float(_of_layer(config.get("alpha_pattern"), module) or config["lora_alpha"])
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _of_layer(pattern: dict[str, float] | None, module: str) -> float | None:
    name = module.removeprefix("base_model.model.")
    return next((value for key, value in (pattern or {}).items() if re.match(rf"(.*\.)?({key})$", name)), None)


def _check_shapes(tensors: dict[str, Any], base: Path, adapter: Path) -> None:
    """The hidden width is in every factor pair of attention: an adapter of another base is told before it is put on."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    layers, width = int(config.get("num_hidden_layers", 0)), int(config.get("hidden_size", 0))
    for name, tensor in tensors.items():
        number = re.search(r"\.layers\.(\d+)\.", name)
        if number and int(number[1]) >= layers:
            raise _refused(adapter, f"it has layer {number[1]}, the base has {layers} layers")
        if name.endswith("q_proj.lora_A.weight") and int(tensor.shape[1]) != width:
            raise _refused(adapter, f"it is for a width of {tensor.shape[1]}, the base has {width}")


def _refused(adapter: Path, why: str) -> ModelError:
    return ModelError(
        f"the CPU engine cannot put this adapter on: {why}",
        where=str(adapter),
        mend="serve it by --engine transformers, or give an adapter of this base (plain LoRA)",
    )
