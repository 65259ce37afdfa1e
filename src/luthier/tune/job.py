"""What a worker process has to know, as plain JSON, and how the processes that torchrun started see themselves."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luthier.artifact.card import read_card
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact
from luthier.event import Tell
from luthier.tune.spec import TuneSpec


@dataclass(frozen=True)
class Job:
    """A run that several processes take part in."""

    spec: Mapping[str, Any]
    model: str
    """Its folder; on another machine, the same path."""
    data: str
    device: str
    dtype: str
    out: str
    """Where the first process puts what is made."""
    work: str
    """Where checkpoints lie: every process reads them."""
    anyway: bool = False
    """Go on from a checkpoint that other versions made."""
    pause_after: int | None = None

    def to_json(self) -> str:
        """Give it as one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def from_json(text: str) -> Job:
    """Read it back."""
    return Job(**json.loads(text))


@dataclass(frozen=True)
class Place:
    """One of several processes: its number among all, among those of its machine, and how many there are."""

    rank: int
    size: int
    local: int


def torchrun_place() -> Place | None:
    """Give this process's place if torchrun (or whoever speaks as it does) started it, else None."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
    if any(name not in os.environ for name in names) or os.environ["WORLD_SIZE"] == "1":
        return None
    return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))


def work_on(job: Job, place: Place, processes: Any, tell: Tell) -> Mapping[str, Any]:
    """Take part in a job. Gives the card's figures in the first process, nothing in the others."""
    from luthier.learn.distributed import ALONE
    from luthier.tune.room import room_explained
    from luthier.tune.train import train  # torch and peft: 7 s, only when there is something to train

    spec, device, work = TuneSpec.model_validate(job.spec), own_device(job.device, place), Path(job.work)
    model, data = _artifact(Path(job.model)), _artifact(Path(job.data))
    with room_explained(spec, model, data, device, job.dtype, work.parent.parent):
        return train(
            spec,
            model,
            data,
            device,
            job.dtype,
            Path(job.out),
            work,
            tell,
            processes=processes or ALONE,
            anyway=job.anyway,
            pause_after=job.pause_after,
        )


def _artifact(folder: Path) -> Artifact:
    card = read_card(folder)
    order = Order(card.kind, card.stage, card.version, card.spec, card.inputs, card.choices)
    return Artifact(card.id, folder, order)


def own_device(device: str, place: Place) -> str:
    """Give the device of one process: each has an accelerator of its own."""
    return device if device == "cpu" or ":" in device or place.size == 1 else f"{device}:{place.local}"
