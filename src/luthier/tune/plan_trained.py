"""How many numbers a method trains, from the shapes alone: a row for each method."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import prod

from luthier.errors import SpecError
from luthier.model.shapes import Layer, Shapes
from luthier.tune.incompatible import OWN, VIRTUAL
from luthier.tune.spec import AdapterSpec

PATTERN = "re:"
P_TUNING_WIDTH = 128
"""Inner width of p-tuning's small network."""
Chosen = Sequence[Layer]


def _pairs(rank: int, layers: Chosen) -> int:
    """LoRA: A (rank, inputs) and B (outputs, rank) beside each layer (arXiv:2106.09685, section 4.1)."""
    return sum(rank * (layer.outputs + layer.inputs) for layer in layers)


def _lora(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    return _pairs(adapter.r, layers)


def _dora(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    return _pairs(adapter.r, layers) + sum(layer.outputs for layer in layers)


def _adalora(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    rank = max(adapter.r + 1, adapter.r * 3 // 2)  # it begins with half as much again
    return _pairs(rank, layers) + rank * len(layers)


def _ia3(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    inner = tuple(_ia3_names(shapes)[1])
    return sum(layer.inputs if layer.name.endswith(inner) else layer.outputs for layer in layers)


def _vera(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    return sum(adapter.r + layer.outputs for layer in layers)


def _prefix(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    width = shapes.hidden // shapes.heads * shapes.key_value_heads
    return adapter.tokens * 2 * shapes.layers * width


def _prompt(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    return adapter.tokens * shapes.hidden


def _p_tuning(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    width = P_TUNING_WIDTH
    network = (shapes.hidden + 1) * width + (width + 1) * width + (width + 1) * shapes.hidden
    return adapter.tokens * shapes.hidden + network


def _full(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    return shapes.parameters


def _freeze(adapter: AdapterSpec, shapes: Shapes, layers: Chosen) -> int:
    first = shapes.layers - adapter.layers
    if first < 0:
        raise SpecError(
            f"adapter.layers is {adapter.layers}, the model has {shapes.layers}",
            where="key adapter.layers",
            mend=f"set 1 to {shapes.layers}",
        )
    numbered = ((shapes.of_layer(name), shape) for name, shape in shapes.tensors.items())
    return sum(prod(shape) for number, shape in numbered if number is not None and number >= first)


COUNTS: dict[str, Callable[[AdapterSpec, Shapes, Chosen], int]] = {
    "lora": _lora,
    "rslora": _lora,
    "dora": _dora,
    "pissa": _lora,
    "lora_plus": _lora,
    "adalora": _adalora,
    "ia3": _ia3,
    "vera": _vera,
    "prefix": _prefix,
    "prompt": _prompt,
    "p_tuning": _p_tuning,
    "full": _full,
    "freeze": _freeze,
}


def trained_parameters(adapter: AdapterSpec, shapes: Shapes, outputs: int = 0) -> int:
    """Count what is trained; `outputs` are the classes of a new head. Raises SpecError if a target names no layer."""
    layers = () if adapter.kind in (*OWN, *VIRTUAL) else chosen_layers(adapter, shapes)
    count = COUNTS[adapter.kind](adapter, shapes, layers)
    if adapter.kind in OWN:
        head = 0 if shapes.is_tied else shapes.head.size
        return count + (outputs * shapes.hidden - head if outputs and adapter.kind == "full" else 0)
    return count + outputs * shapes.hidden + sum(_saved(name, shapes) for name in adapter.save)


def chosen_layers(adapter: AdapterSpec, shapes: Shapes) -> list[Layer]:
    """Give the layers that get an adapter. Raises SpecError for a target that names none."""
    targets = [adapter.targets] if isinstance(adapter.targets, str) else list(adapter.targets)
    if adapter.kind == "ia3" and targets == ["all-linear"]:
        targets = _ia3_names(shapes)[0]
    everything = [*shapes.linear, shapes.head]
    found: dict[str, Layer] = {}
    for target in targets:
        matched = shapes.linear if target == "all-linear" else [one for one in everything if _is_meant(one, target)]
        if not matched:
            leaves = sorted({layer.name.rpartition(".")[2] for layer in everything})
            near = get_close_matches(target, leaves, n=3, cutoff=0.4)
            listed = [*near, *(leaf for leaf in leaves if leaf not in near)]
            raise SpecError(
                f"no layer is called {target!r}",
                where="key adapter.targets",
                mend=f"this model has: {', '.join(listed)}",
            )
        found |= {layer.name: layer for layer in matched}
    return list(found.values())


def _is_meant(layer: Layer, target: str) -> bool:
    if target.startswith(PATTERN):
        return re.fullmatch(target.removeprefix(PATTERN), layer.name) is not None
    return layer.name == target or layer.name.endswith(f".{target}")


def _ia3_names(shapes: Shapes) -> tuple[list[str], list[str]]:
    """Give the names of the layers IA3 scales, and of those it scales by their inputs: PEFT knows them by the model."""
    from peft.utils import constants  # torch: only for those who ask for this method

    targets = constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(shapes.kind)
    inner = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(shapes.kind)
    return (
        targets or ["k_proj", "v_proj", "down_proj"],
        inner if inner is not None else ["down_proj"],
    )


def _saved(name: str, shapes: Shapes) -> int:
    """Parameters of a module that is trained whole; a tied head is there as a copy."""
    if shapes.is_tied and shapes.head.name.endswith(name):
        return shapes.head.size
    # PEFT takes every module whose name ends so, and what is in it
    inside = [prod(shape) for tensor, shape in shapes.tensors.items() if f"{name}." in f"{tensor.rpartition('.')[0]}."]
    if not inside:
        raise SpecError(f"no module is called {name!r}", where="key adapter.save", mend="name one such as lm_head")
    return sum(inside)
