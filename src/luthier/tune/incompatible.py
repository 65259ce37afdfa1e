"""Settings that do not go together: one table, checked before a run and shown in the docs."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from luthier.errors import SpecError
from luthier.tune.spec import TuneSpec

VIRTUAL = ("prefix", "prompt", "p_tuning")
OWN = ("full", "freeze")
NARROW = ("nf4", "int8")


@dataclass(frozen=True)
class Pair:
    """One row: two settings with the values that do not go together."""

    first: str
    first_values: tuple[object, ...]
    second: str
    second_values: tuple[object, ...]
    why: str
    mend: str


INCOMPATIBLE: tuple[Pair, ...] = (
    Pair(
        "adapter.kind",
        VIRTUAL,
        "learn.packing",
        ("always",),
        "virtual tokens stand before one row, not before each of several",
        "leave learn.packing out",
    ),
    Pair(
        "adapter.kind",
        OWN,
        "quantize",
        NARROW,
        "weights of a few bits have no gradient",
        "set adapter.kind=lora to train an adapter on them, or leave quantize out",
    ),
    Pair(
        "adapter.kind",
        ("pissa", "vera"),
        "quantize",
        NARROW,
        "it begins from, or shares, weights in full precision",
        "set adapter.kind=lora or dora, or leave quantize out",
    ),
    Pair(
        "adapter.kind",
        (*OWN, "pissa", "dora"),
        "device_map",
        ("auto",),
        "it changes, or begins from, weights that come only while they are computed",
        "set adapter.kind=lora, or leave device_map out",
    ),
    Pair(
        "learn.shard",
        ("full", "offload"),
        "device_map",
        ("auto",),
        "one cuts weights over processes, the other spreads them over the devices of one",
        "leave one of them out",
    ),
    Pair(
        "learn.shard",
        ("full", "offload"),
        "quantize",
        NARROW,
        "weights of a few bits cannot be cut and gathered layer by layer",
        "leave learn.shard out: each process then holds the narrow weights whole",
    ),
    Pair(
        "adapter.kind",
        (*VIRTUAL, "ia3", "vera", "lora", "rslora", "dora", "lora_plus", "adalora", "pissa"),
        "learn.optimizer",
        ("galore",),
        "an adapter's matrices are thin already: there is no smaller space to project them to",
        "set learn.optimizer=adamw, or adapter.kind=full",
    ),
    Pair(
        "learn.optimizer",
        ("paged_adamw_8bit",),
        "device",
        ("cpu", "mps", "xpu", "npu"),
        "its pages lie in memory that only CUDA shares with the processor",
        "set learn.optimizer=adamw_8bit, or run it on a CUDA device",
    ),
)


def check(spec: TuneSpec, device: str | None = None) -> None:
    """Raise SpecError for the first pair of settings that do not go together.

    `device` is the one that was chosen; None where none was: then what hangs on it is left open.
    """
    if device is not None:
        spec = spec.model_copy(update={"device": device})
        _check_places(spec, device)
    for pair in INCOMPATIBLE:
        first, second = _value(spec, pair.first), _value(spec, pair.second)
        if first in pair.first_values and second in pair.second_values:
            raise SpecError(
                f"{pair.first}={first} and {pair.second}={second} do not go together: {pair.why}",
                where=f"key {pair.first}",
                mend=pair.mend,
            )


NUMBERED = re.compile(r":[0-9]+$")
"""After a kind of device, which one of them."""


def _check_places(spec: TuneSpec, device: str) -> None:
    """Raise SpecError for a key of max_memory that nobody would heed."""
    if spec.max_memory and spec.device_map == "none":
        raise SpecError(
            "max_memory changes nothing without device_map=auto",
            where="key max_memory",
            mend="set device_map=auto, or leave max_memory out",
        )
    known = list(dict.fromkeys([device, "cpu"]))
    for name in spec.max_memory:
        kind = name if device in ("cpu", "mps") else NUMBERED.sub("", name)
        if kind == device or name == "cpu":
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        mend = f"did you mean {near[0]!r}? " if near else ""
        raise SpecError(
            f"max_memory names {name!r}, where no weights of this run can lie",
            where=f"key max_memory.{name}",
            mend=f"{mend}with device={device} the places are {' and '.join(known)}; what is left lies on disk",
        )


def _value(spec: TuneSpec, key: str) -> object:
    value: object = spec
    for part in key.split("."):
        value = getattr(value, part)
    return value
