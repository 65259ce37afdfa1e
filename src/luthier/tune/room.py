"""Out of memory in the middle of a run, said with the smallest change that fits."""

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.artifact.store import Artifact
from luthier.errors import LuthierError, ModelError, RoomError
from luthier.learn.clock import memory_bytes
from luthier.model.machine import free_memory_bytes, gigabytes
from luthier.tune.plan_fit import Asked, as_settings, best_that_fits
from luthier.tune.plan_place import Place
from luthier.tune.spec import TuneSpec

SIGNS = re.compile(r"out of memory|can.?t allocate memory|not enough memory|cannot allocate memory", re.IGNORECASE)
"""What torch writes: its CUDA allocator, and its allocator of main memory."""
LESS = 0.9
"""A plan that was to fit and did not was too low: the next must be lower than it by a tenth."""


@contextmanager
def room_explained(
    spec: TuneSpec, model: Artifact, data: Artifact, device: str, dtype: str, root: Path
) -> Iterator[None]:
    """Turn an error of an allocator into a RoomError that names the smallest change that fits by the plan."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ModelError) as error:  # ModelError: while its weights are read
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the model; what explains needs room too
        raise explain(spec, model, data, device, dtype, root) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was refused."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or SIGNS.search(str(error)) is not None


def explain(spec: TuneSpec, model: Artifact, data: Artifact, device: str, dtype: str, root: Path) -> RoomError:
    """Give the error a person can mend."""
    room = _room(device)
    place = Place("cpu" if device == "cpu" else "cuda", device, room, 1.0)
    asked = Asked(spec, model.folder, place, data, dtype, root)
    held = f"{device} has {gigabytes(room)}" if room is not None else device
    try:
        plan = asked.plan()
        bound = int(min(plan.peak_bytes * LESS, room if room is not None else plan.peak_bytes))
        found = best_that_fits(asked, bound, plan)
    except (LuthierError, MemoryError, OSError, RuntimeError) as error:  # not even for a plan is there room
        why = (str(error).splitlines() or [type(error).__name__])[0]
        return RoomError("the run ran out of memory", where=held, mend=f"lower learn.tokens_per_pass (no plan: {why})")
    what = f"the run ran out of memory; the plan was {gigabytes(plan.peak_bytes)}"
    if found is None:
        mend = "no settings fit: take a smaller model, another device, or several (--processes)"
        return RoomError(what, where=held, mend=mend)
    changed, other = found
    mend = f"set {' '.join(as_settings(changed))}: by the plan {gigabytes(other.peak_bytes)}"
    return RoomError(what, where=held, mend=mend)


def _room(device: str) -> int | None:
    """What a run begun anew could hold: what is free, and what this one, about to end, holds."""
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            return int(torch.cuda.mem_get_info()[1])
    free = free_memory_bytes()
    return None if free is None else free + memory_bytes()
