"""Adapters: put on by PEFT and saved in PEFT's own form."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import ModelError, SpecError
from luthier.model.lora import LeanLora, put

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def add_lora(model: Any, *, r: int, alpha: float, dropout: float, targets: Sequence[str] | str, seed: int) -> Any:
    """Put a LoRA adapter on a model with PEFT, float32 and seeded. Gives the PEFT model.

    Raises SpecError if no layer answers to a target (the nearest names are listed).
    """
    _check_targets(model, targets)
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 keeps weights transposed
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        with warnings.catch_warnings():  # peft 0.21 asks a name which transformers 5.23 calls old
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            adapted = get_peft_model(model, config)
    finally:
        torch.random.set_rng_state(state)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def _check_targets(model: Any, targets: Sequence[str] | str) -> None:
    if targets == "all-linear":
        return
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    leaves = sorted({name.rpartition(".")[2] for name in names})
    for target in [targets] if isinstance(targets, str) else targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise SpecError(
                f"no layer is called {target!r}",
                where="key adapter.targets",
                mend=f"this model has: {', '.join(leaves)}",
            )


@contextmanager
def _as_peft(adapted: Any) -> Iterator[None]:
    """Put PEFT's own layers back while the block runs: PEFT saves and loads by the types of its layers."""
    found = [(name, module) for name, module in adapted.named_modules() if isinstance(module, LeanLora)]
    for name, module in found:
        put(adapted, name, module.source[0])
    try:
        yield
    finally:
        for name, module in found:
            put(adapted, name, module)


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Give the parameters that change, by name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def save_adapter(adapted: Any, folder: Path, base: str) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` in PEFT's form, the same bytes each time."""
    with _as_peft(adapted):
        state = get_peft_model_state_dict(adapted)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = adapted.peft_config["default"].to_dict()
    config.update(base_model_name_or_path=base, inference_mode=True)
    text = json.dumps(_plain(config), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_adapter_weights(adapted: Any, folder: Path) -> None:
    """Read weights `save_adapter` wrote into a model with the same adapter. Raises ModelError if they differ."""
    try:
        with _as_peft(adapted):
            found = set_peft_model_state_dict(adapted, load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise ModelError(
            f"the adapter does not fit: {str(error).splitlines()[-1].strip()}",
            where=str(folder),
            mend="use the adapter with the model and the settings it was made with",
        ) from error
    absent = {name for name, _ in trainable(adapted)} & set(found.missing_keys)
    odd = [*found.unexpected_keys, *sorted(absent)]
    if odd:
        raise ModelError(
            f"the adapter's weights are not those this model needs: {odd[0]} and {len(odd) - 1} more",
            where=str(folder),
            mend="use the adapter with the model and the settings it was made with",
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(getattr(value, "value", value))
