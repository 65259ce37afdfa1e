"""Runs whose processes torchrun started, on one machine or several: the first leads, the others hear what to do."""

from collections.abc import Mapping
from typing import Any

from luthier.event import Chose, Tell, hush
from luthier.tune.job import Job, Place, work_on

MEETING = "env://"
"""torchrun says in the environment where processes meet."""


def lead(job: Job | None, place: Place, tell: Tell) -> Mapping[str, Any]:
    """Take part as the first process, which says what is to be done: a job, or nothing. Gives the card's figures."""
    from luthier.learn.distributed import joined  # torch: 2 s

    if job is not None:
        tell(Chose("processes", str(place.size), "torchrun started them (RANK, WORLD_SIZE)"))
    with joined(place.rank, place.size, _meeting_device(), MEETING) as processes:
        processes.first(lambda: job)
        return {} if job is None else work_on(job, place, processes, tell)


def follow(place: Place) -> None:
    """Take part as another process: do what the first one says."""
    from luthier.learn.distributed import joined

    with joined(place.rank, place.size, _meeting_device(), MEETING) as processes:
        job: Job | None = processes.first(lambda: None)
        if job is not None:
            work_on(job, place, processes, hush)


def _meeting_device() -> str:
    """What processes may compute on is not known to all before they meet: an accelerator that is here is joined."""
    import torch

    for kind in ("cuda", "xpu"):
        if getattr(torch, kind).is_available():
            return kind
    return "cpu"
