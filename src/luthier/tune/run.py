"""`tune`: a model and examples in, an adapter out."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import KindError, StoreError
from luthier.event import Chose, Tell
from luthier.model.machine import Choice, choose_device, choose_dtype
from luthier.tune.spec import TuneSpec

VERSION = 1

Start = Literal["newest", "checkpoint", "fresh"]
"""Go on from the newest checkpoint if there is one; insist on one; or throw old ones away."""


def tune(
    spec: TuneSpec, model: Artifact, data: Artifact, store: Store, tell: Tell, *, start: Start = "newest"
) -> Artifact:
    """Fine-tune a model on examples prepared for it. Gives an adapter in PEFT's form.

    Raises KindError if the examples were prepared for another model, StoreError if `start` is "checkpoint" and
    there is none, Stopped after Ctrl-C (the state is saved).
    """
    check_kind(model, "model", "model")
    check_kind(data, "examples", "data")
    prepared_for = data.order.inputs.get("model")
    if prepared_for != model.id:
        raise KindError(
            f"the examples {data.id} were prepared for {prepared_for}, not for {model.id}",
            where="input 'data'",
            mend=f"prepare them for this model: luthier prepare --model {model.id} ...",
        )
    device = Choice(spec.device, "the spec says so") if spec.device != "auto" else choose_device()
    dtype = Choice(spec.dtype, "the spec says so") if spec.dtype != "auto" else choose_dtype(device.value)
    choices = {"device": device.value, "dtype": dtype.value}
    order = Order(
        "adapter", "tune", VERSION, spec.model_dump(mode="json"), {"model": model.id, "data": data.id}, choices
    )
    checkpoints = store.work / order.id / "checkpoints"

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.tune.train import train  # torch and peft: 7 s, only when there is something to train

        _check_task(data)
        _prepare_start(start, checkpoints)
        tell(Chose("device", device.value, device.why))
        tell(Chose("dtype", dtype.value, dtype.why))
        return train(spec, model, data, device.value, dtype.value, out, work, tell)

    return store.make(order, build, tell)


def _check_task(data: Artifact) -> None:
    """Raise KindError for examples of a task that nothing here learns from."""
    task = data.card.figures.get("task", "supervised")
    if task != "supervised":
        raise KindError(
            f"the examples {data.id} are for the task {task!r}, which tune does not learn from",
            where="input 'data'",
            mend="prepare questions with their answers, or plain text",
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
