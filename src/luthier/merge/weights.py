"""The sums themselves: changes of adapters added to the weights of their base, in float32."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.merge_utils import dare_linear, dare_ties, task_arithmetic, ties
from torch import Tensor

from luthier.errors import ModelError
from luthier.model.load import load_adapted

Way = Callable[[list[Tensor], Tensor, float], Tensor]
WAYS: dict[str, Way] = {
    "linear": lambda changes, weights, density: task_arithmetic(changes, weights),
    "ties": lambda changes, weights, density: ties(changes, weights, density),
    "dare_linear": dare_linear,
    "dare_ties": dare_ties,
}
"""PEFT's own; they are given whole changes, not the two factors: products of sums of factors hold cross terms."""


def merge_one(model: Any, adapter: Path) -> Any:
    """Give a float32 model with an adapter in its weights. Raises ModelError for one that is no change of weights."""
    adapted = load_adapted(model, adapter)
    if adapted is model:
        return model  # the model's own weights were tuned: they lie in their places now
    _check_weights(adapted, adapter)
    with warnings.catch_warnings():  # a head that was trained whole is no longer the embeddings, and the config says so
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        return adapted.merge_and_unload(safe_merge=True)


def merge_several(model: Any, adapters: Sequence[Path], way: str, weights: Sequence[float], density: float) -> Any:
    """Give a float32 model with the changes of several adapters in its weights.

    Raises ModelError for adapters that change anything but the weights of layers (whole modules, magnitudes).
    """
    adapted = load_adapted(model, adapters[0])
    if adapted is model:
        raise _refusal(adapters[0], "its base's own weights were tuned", "merge each alone, then average the models")
    names = ["default", *(f"other{place}" for place in range(1, len(adapters)))]
    for name, folder in zip(names[1:], adapters[1:], strict=True):
        adapted.load_adapter(folder, adapter_name=name, is_trainable=False)
    for name, folder in zip(names, adapters, strict=True):
        _check_weights(adapted, folder)
        if adapted.peft_config[name].peft_type != "LORA":
            raise _refusal(
                folder, "several are merged of LoRA's kind only", "merge each alone, then average the models"
            )
    shares = torch.tensor(list(weights))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no pruning will be performed.*")  # density=1 was asked for
        for name, module in adapted.named_modules():
            if isinstance(module, ModulesToSaveWrapper) or len(getattr(module, "lora_magnitude_vector", ())):
                raise _refusal(adapters[0], f"{name} has more than a change of weights", "merge each alone")
            if not isinstance(module, LoraLayer):
                continue
            weight = module.get_base_layer().weight
            changes = [
                module.get_delta_weight(one).float() if one in module.lora_A else torch.zeros_like(weight)
                for one in names
            ]
            weight += WAYS[way](changes, shares, density)
    return adapted.unload()


def average(states: Sequence[Callable[[], dict[str, Tensor]]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Give the weighted mean of models' weights, read one model after the other. Raises ModelError for other shapes."""
    total: dict[str, Tensor] = {}
    for place, (read, weight) in enumerate(zip(states, weights, strict=True)):
        state = read()
        if place and {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in total.items()}:
            raise ModelError(
                "the models' weights differ in names or shapes",
                where=f"model {place + 1}",
                mend="average models that were tuned from one base",
            )
        for name, tensor in state.items():
            part = tensor.double() * weight
            total[name] = total[name] + part if place else part
    return {name: tensor.float() for name, tensor in total.items()}


def _check_weights(adapted: Any, folder: Path) -> None:
    config = next(iter(adapted.peft_config.values()))
    if config.is_prompt_learning:
        raise _refusal(folder, "it is virtual tokens, not a change of weights", "serve it as the adapter it is")
    if str(getattr(config.task_type, "value", config.task_type)) == "SEQ_CLS":
        raise _refusal(folder, "it ends in classes, not in words", "serve it as the adapter it is")


def _refusal(folder: Path, why: str, mend: str) -> ModelError:
    return ModelError(f"the adapter cannot be merged: {why}", where=str(folder), mend=mend)
