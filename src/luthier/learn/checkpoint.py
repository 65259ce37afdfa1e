"""Checkpoints: whole or absent, checked when read, the newest good one found.

step-000120/  what `save` writes (an adapter in its own form), optimizer.safetensors, state.json (last)
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.artifact import atomic
from luthier.event import Tell, Warned
from luthier.learn.optimizer import Optimizers

STATE = "state.json"
OPTIMIZER = "optimizer.safetensors"
COUNT = "count."
"""Before the name of what an optimizer remembers as a plain number."""
Named = Mapping[str, nn.Parameter]


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint."""

    folder: Path
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """How many steps were done."""
        return int(self.state["step"])


def write(
    folder: Path,
    step: int,
    save: Callable[[Path], None],
    optimizers: Optimizers,
    named: Named,
    facts: Mapping[str, Any],
    *,
    writes: bool = True,
) -> Path:
    """Write the checkpoint of a step: into a temporary folder, forced to disk, then renamed.

    Of several processes one `writes`; the others only take part in gathering what is in parts.
    """
    place = folder / f"step-{step:06d}"
    temporary = folder / f".{place.name}"
    if not writes:
        save(temporary)
        _tensors(optimizers, named)
        return place
    with atomic.no_room(place), _whole_or_gone(temporary):
        for old in (temporary, place):
            shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir(parents=True)
        save(temporary)
        save_file(_tensors(optimizers, named), temporary / OPTIMIZER)
        sums = {path.name: atomic.sha256(path) for path in sorted(temporary.iterdir())}
        for name in sums:
            atomic.sync(temporary / name)
        atomic.write_json(temporary / STATE, {"step": step, "files": sums, **facts})
        os.rename(temporary, place)
        atomic.sync(folder)
    return place


@contextmanager
def _whole_or_gone(temporary: Path) -> Iterator[None]:
    """Remove what could not be finished: it may be what filled the disk."""
    try:
        yield
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_weights(place: Path, step: int, save: Callable[[Path], None], *, writes: bool = True) -> None:
    """Write the weights of a step alone, whole or not at all, in the place of those of an earlier one."""
    temporary = place.with_name(f".{place.name}")
    if not writes:
        save(temporary)
        return
    with atomic.no_room(place), _whole_or_gone(temporary):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save(temporary)
        for path in temporary.iterdir():
            atomic.sync(path)
        atomic.write_json(temporary / STATE, {"step": step})
        shutil.rmtree(place, ignore_errors=True)  # a kill between here and the rename: the step is taken again
        os.rename(temporary, place)
        atomic.sync(place.parent)


def rotate(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def newest(folder: Path, tell: Tell) -> Checkpoint | None:
    """Give the newest checkpoint whose files match their checksums; a damaged one is told and passed over."""
    for place in sorted(folder.glob("step-*"), reverse=True):
        try:
            state = json.loads((place / STATE).read_text(encoding="utf-8"))
            bad = [name for name, sum_ in state["files"].items() if atomic.sha256(place / name) != sum_]
        except (OSError, ValueError, KeyError) as error:
            bad = [str(error)]
        if not bad:
            return Checkpoint(place, state)
        tell(Warned(f"the checkpoint {place.name} is damaged ({bad[0]})", "an older one is used"))
    return None


def restore(checkpoint: Checkpoint, optimizers: Optimizers, named: Named) -> None:
    """Put optimizers back, bit for bit. The weights are the caller's to load."""
    tensors = load_file(checkpoint.folder / OPTIMIZER)
    states: dict[str, dict[str, Tensor | int]] = {}
    for full, tensor in tensors.items():
        kind, _, name = full.partition(":")
        states.setdefault(name, {})[kind.removeprefix(COUNT)] = _placed(kind, tensor, named[name])
    for name, state in states.items():
        optimizers.remember(named[name], state)


def _placed(kind: str, tensor: Tensor, parameter: nn.Parameter) -> Tensor | int:
    if kind.startswith(COUNT):
        return int(tensor)
    if kind == "step":
        return tensor  # torch counts its steps on the CPU
    if hasattr(parameter, "full_tensor"):
        from luthier.learn.sharding import scattered  # 1 s of FSDP: only for weights in parts

        return scattered(tensor, parameter)
    return tensor.to(parameter.device)


def _tensors(optimizers: Optimizers, named: Named) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, parameter in named.items():
        for kind, value in optimizers.state_of(parameter).items():
            if isinstance(value, Tensor):
                whole = value.full_tensor() if hasattr(value, "full_tensor") else value
                tensors[f"{kind}:{name}"] = whole.detach().cpu().clone()  # some share a table; safetensors wants own
            else:
                tensors[f"{COUNT}{kind}:{name}"] = torch.tensor(value)
    return tensors
