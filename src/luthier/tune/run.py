"""`tune`: a model and examples in, an adapter out."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from luthier.artifact.store import Artifact, Store
from luthier.errors import SpecError, StoreError
from luthier.event import Chose, Tell
from luthier.model.machine import check_device
from luthier.tune.job import Job, Place, torchrun_place, work_on
from luthier.tune.launch import run_workers
from luthier.tune.ordering import ordered
from luthier.tune.spec import TuneSpec
from luthier.tune.torchrun import lead

VERSION = 3

Start = Literal["newest", "checkpoint", "fresh"]
"""Go on from the newest checkpoint if there is one; insist on one; or throw old ones away."""


def tune(
    spec: TuneSpec,
    model: Artifact,
    data: Artifact,
    store: Store,
    tell: Tell,
    *,
    start: Start = "newest",
    anyway: bool = False,
    processes: int = 1,
    cluster: str | None = None,
) -> Artifact:
    """Fine-tune a model on examples prepared for it. Gives an adapter in PEFT's form.

    It learns in so many `processes` of this machine, or of a Ray `cluster` (its address, or "local"), or in those
    that torchrun started; what is made has the same id however many they are.

    Raises KindError if the examples were prepared for another model, StoreError if `start` is "checkpoint" and
    there is none, or if a checkpoint was made where other bits come out and it is not to go on `anyway`; Stopped
    after Ctrl-C (the state is saved); ToolError if the device is not here, or if a process is killed.
    """
    place = torchrun_place()
    order, device, dtype = ordered(spec, model, data, VERSION)
    _check_launch(spec, processes, cluster, place)
    if cluster is None and not Artifact(order.id, store.artifacts / order.id, order).exists:
        check_device(device.value)  # a cluster's workers have their own
    checkpoints = store.work / order.id / "checkpoints"
    ran: list[bool] = []

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        _prepare_start(start, checkpoints)
        tell(Chose("device", device.value, device.why))
        tell(Chose("dtype", dtype.value, dtype.why))
        job = Job(
            spec=spec.model_dump(mode="json"),
            model=str(model.folder),
            data=str(data.folder),
            device=device.value,
            dtype=dtype.value,
            out=str(out),
            work=str(work),
            anyway=anyway,
        )
        ran.append(True)
        return _launch(job, spec, processes, cluster, place, tell)

    made = store.make(order, build, tell)
    if place is not None and not ran and not store.dry:
        lead(None, place, tell)  # nothing to do: the others wait to hear so
    return made


def _launch(
    job: Job, spec: TuneSpec, processes: int, cluster: str | None, place: Place | None, tell: Tell
) -> Mapping[str, Any]:
    if place is not None:
        return lead(job, place, tell)
    if cluster is not None:
        from luthier.tune.cluster import run_on_ray  # ray: only for those who ask for it

        return run_on_ray(job, processes, cluster, tell)
    if processes > 1 or spec.learn.shard != "none":
        return run_workers(job, processes, tell)
    return work_on(job, Place(0, 1, 0), None, tell)


def _check_launch(spec: TuneSpec, processes: int, cluster: str | None, place: Place | None) -> None:
    if processes < 1:
        raise SpecError(f"--processes is {processes}", where="command line", mend="give 1 or more")
    if spec.device_map != "none" and (processes > 1 or cluster is not None or place is not None):
        raise SpecError(
            "device_map=auto gives one process all devices, and several are asked for",
            where="key device_map",
            mend="use one process, or learn.shard=full, which cuts the weights over processes",
        )
    if place is not None and (processes > 1 or cluster is not None):
        raise SpecError(
            f"torchrun started {place.size} processes, and --processes or --cluster asks for others",
            where="command line",
            mend="leave out --processes and --cluster, or run it without torchrun",
        )


def _prepare_start(start: Start, checkpoints: Path) -> None:
    found = sorted(checkpoints.glob("step-*"))
    if start == "checkpoint" and not found:
        raise StoreError(
            "there is no checkpoint to go on from",
            where=str(checkpoints),
            mend="leave out --resume; the settings and inputs must be those of the run that was stopped",
        )
    if start == "fresh":
        for old in found:
            shutil.rmtree(old)
