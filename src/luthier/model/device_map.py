"""Weights in several places: a layer that finds no room on the device lies on another, in main memory or on disk.

transformers loads by such a map and accelerate's hooks bring each layer's weights when it is computed. What is not a
layer (embeddings, the last norm, the head) stays on the device: the loss reads it directly.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from luthier.errors import RoomError, SpecError
from luthier.model.layers import decoder_layers
from luthier.model.machine import free_memory_bytes
from luthier.model.plan import FREE_SHARE

DISK = "disk"


def rooms(device: str, asked: Mapping[str, int]) -> dict[str, int]:
    """Give how many bytes of weights each place takes, in the order they are filled: the run's device, other devices
    of its kind, main memory. `asked` (place -> bytes) comes before what is free. Raises SpecError for a device that is
    not here."""
    kind = device.partition(":")[0]
    found = {device: asked.get(device, asked.get(kind))}
    if kind not in ("cpu", "mps"):
        module = getattr(torch, kind)
        found |= {f"{kind}:{number}": asked.get(f"{kind}:{number}") for number in range(module.device_count())}
        if ":" not in device:
            found[f"{kind}:0"] = found.pop(device) or found[f"{kind}:0"]
    found.setdefault("cpu", asked.get("cpu"))
    for place in asked:
        if place not in (*found, kind):
            raise SpecError(
                f"max_memory names {place!r}, which is not here",
                where=f"key max_memory.{place}",
                mend=f"here are {', '.join(found)}",
            )
    return {place: _free_bytes(place) if room is None else room for place, room in found.items()}


def _free_bytes(place: str) -> int:
    kind, _, number = place.partition(":")
    free = free_memory_bytes() if kind == "cpu" else getattr(torch, kind).mem_get_info(int(number or 0))[0]
    return int((free or 0) * FREE_SHARE)


def place_layers(skeleton: Any, room_of: Mapping[str, int], width: int) -> dict[str, str]:
    """Give each module its place: layers in order, each where there is room, what does not fit anywhere on disk.

    `skeleton` is the model on the meta device, `width` the bytes of a number. Raises RoomError if the first place
    has no room for what cannot leave it.
    """
    names = {id(module): name for name, module in skeleton.named_modules()}
    layers = decoder_layers(skeleton)
    inside = {id(parameter) for layer in layers for parameter in layer.parameters()}
    first = next(iter(room_of))
    apart = sum(parameter.numel() for parameter in skeleton.parameters() if id(parameter) not in inside) * width
    left = dict(room_of)
    left[first] -= apart
    if left[first] < 0 or not layers:
        raise RoomError(
            f"embeddings and head take {apart / 1e9:.2f} GB, weights may take {room_of[first] / 1e9:.2f} GB of {first}"
            if layers
            else "this architecture keeps its layers where we do not know",
            where="key device_map",
            mend=f"allow more of {first} in max_memory" if layers else "set device_map=none",
        )
    found = {names[id(module)]: first for module in _outside(skeleton, layers)}
    for layer in layers:
        size = sum(parameter.numel() for parameter in layer.parameters()) * width
        place = next((place for place, room in left.items() if room >= size), DISK)
        if place != DISK:
            left[place] -= size
        found[names[id(layer)]] = place
    return found


def _outside(module: nn.Module, layers: list[nn.Module]) -> Iterator[nn.Module]:
    """Give the largest modules in which no layer lies."""
    for child in module.children():
        if any(child is layer for layer in layers):
            continue
        if any(inner is layer for layer in layers for inner in child.modules()):
            yield from _outside(child, layers)
        else:
            yield child
