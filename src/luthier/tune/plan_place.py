"""Where a run is planned for: this machine's processor, a GPU by name or by its memory, or several of them."""

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from luthier.errors import SpecError
from luthier.model.machine import free_memory_bytes
from luthier.model.plan import FREE_SHARE
from luthier.tune.spec import TuneSpec

GPUS = Path(__file__).with_name("gpus.yaml")
FILLED = 0.95
UNITS = {"": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class Place:
    """One device, and how many of them."""

    device: str
    """cpu or cuda."""
    name: str
    room_bytes: int | None
    """Memory of each; None where it is not told."""
    speed: float | None
    """Operations a second in its fast format, as its maker says; None: to be measured here."""
    devices: int = 1

    @property
    def usable_bytes(self) -> int | None:
        """The room that can be filled: an accelerator's allocator leaves gaps between tensors."""
        if self.room_bytes is None or self.device == "cpu":
            return self.room_bytes
        return int(self.room_bytes * FILLED)


@cache
def gpus() -> dict[str, dict[str, Any]]:
    """Read the table of GPUs."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(GPUS.read_text(encoding="utf-8"))
    return found


def choose_place(gpu: str | None, memory: str | None, devices: int) -> Place:
    """Find what was asked for; nothing: this machine's processor. Raises SpecError for what is unknown."""
    if devices < 1:
        raise SpecError(f"--devices is {devices}", where="--devices", mend="give 1 or more")
    if gpu is None and memory is None:
        return Place("cpu", "this machine's processor", free_memory_bytes(), None, devices)
    room = read_bytes(memory, "--memory") if memory else None
    if gpu is None:
        # of all cards with so much memory the slowest: a plan should not promise more than it has
        fitting = [row for row in gpus().values() if room and row["memory"] * 1e9 >= room * 0.99]
        speed = min((row["speed"] for row in fitting), default=50)
        return Place("cuda", f"a GPU with {memory}", room, speed * 1e12, devices)
    name = _nearest(gpu)
    row = gpus()[name]
    own = int(row["memory"] * 1e9)
    return Place("cuda", name, own if room is None else room, row["speed"] * 1e12, devices)


def weights_room(spec: TuneSpec, place: Place) -> int | None:
    """Give the bytes weights may take of a device, the rest of them lying elsewhere; None: all lie there."""
    if spec.device_map == "none":
        return None
    asked = spec.max_memory.get(place.device)
    if asked is not None:
        return read_bytes(asked, "key max_memory")
    return None if place.room_bytes is None else int(place.room_bytes * FREE_SHARE)


def _nearest(asked: str) -> str:
    def plain(name: str) -> str:
        return re.sub(r"nvidia|geforce|amd|instinct|[^a-z0-9]", "", name.lower())

    known = {plain(name): name for name in gpus()}
    if plain(asked) in known:
        return known[plain(asked)]
    near = difflib.get_close_matches(plain(asked), known, n=1, cutoff=0.5)
    mend = f"did you mean {known[near[0]]!r}? " if near else ""
    raise SpecError(
        f"there is no GPU {asked!r} in the table",
        where="--gpu",
        mend=f"{mend}known: {', '.join(gpus())}; for others give --memory, such as 24GB",
    )


def read_bytes(text: str, where: str) -> int:
    """Read `24GB`, `24GiB`, `500 MB` or a number of bytes. Raises SpecError for anything else."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].lower() not in UNITS:
        raise SpecError(f"{text!r} is no amount of memory", where=where, mend="write for instance 24GB")
    return int(float(found[1]) * UNITS[found[2].lower()])
