"""The heavy half of `tune`: model and adapter in memory, the loop, the adapter on disk."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from luthier.artifact.card import template_figures
from luthier.artifact.store import TRACK, Artifact
from luthier.artifact.tokens import read_tokens
from luthier.errors import StoreError
from luthier.event import Chose, Counted, Tell
from luthier.learn.checkpoint import Checkpoint, newest
from luthier.learn.distributed import ALONE, Processes
from luthier.learn.ledger import LEDGER, Ledger
from luthier.learn.loop import HISTORY, Course, Settings, learn
from luthier.learn.objective import Objective
from luthier.learn.replay import check_origin, check_replayed, choices, replay
from luthier.tune.curves import draw
from luthier.tune.measured import Measured
from luthier.tune.objectives import Taught, setting_of
from luthier.tune.opening import Opened, open_trained, rate_shares
from luthier.tune.places import come_and_go, places_of
from luthier.tune.spec import TuneSpec
from luthier.tune.spread import check_shard, first_only, loaded_as, spread
from luthier.tune.trackers import Run, tracked


def train(
    spec: TuneSpec,
    model: Artifact,
    data: Artifact,
    device: str,
    dtype: str,
    out: Path,
    work: Path,
    tell: Tell,
    *,
    processes: Processes = ALONE,
    anyway: bool = False,
    pause_after: int | None = None,
) -> Mapping[str, Any]:
    """Train into `out`; checkpoints and history lie in `work` meanwhile. Gives the card's figures.

    Of several processes each calls it; the first one writes, tells and gives figures. Raises StoreError if the
    checkpoint to go on from was made where other bits come out, unless told to go on `anyway`.
    """
    check_shard(spec, device.partition(":")[0])
    setting = setting_of(data)
    start = _found(work, processes, tell)
    check_origin(start, model.id)
    replay(start, device, processes.size, tell, anyway=anyway)
    measured = Measured(spec, model, data, device, dtype, work, tell, processes.size)
    places = places_of(spec, model.folder, device, dtype)
    loaded = come_and_go(setting.load(model, data, spec, *loaded_as(spec, device, dtype), places), places, tell)
    rows_there = len(read_tokens(data.folder, "train"))
    opened = open_trained(loaded, model.id, spec, _steps(spec, rows_there), setting.peft_task, tell)
    torch.manual_seed(spec.seed)
    taught = setting.teach(opened, model, data, _as_begun(spec, start, tell), tell)
    facts = _facts(taught.objective, device, dtype, processes)
    check_replayed(start, facts, tell, anyway=anyway)
    opened, processes = spread(opened, spec, model.id, device, dtype, processes, tell)
    course = _course(spec, taught, opened, {"model": model.id, **facts}, work, start, processes)
    ledger = course.ledger
    begun = time.monotonic()
    run = Run(work.name, work.parent.parent / TRACK / work.name, spec.model_dump(mode="json"))
    if start is None and processes.is_first:
        shutil.rmtree(run.folder, ignore_errors=True)  # of a run that was given up: its steps would stand beside these
    with tracked(spec.track if processes.is_first else (), run, tell) as told:
        history = learn(course, replace(_settings(spec), pause_after=pause_after), measured.watching(told))
    seconds = time.monotonic() - begun
    opened.save_final(out)
    more = first_only(processes, taught.figures)
    if not processes.is_first:
        return {}
    shutil.copy2(work / HISTORY, out / HISTORY)
    draw(history, out / "curves.png")
    if ledger is not None:
        ledger.write(out / LEDGER, lambda place: taught.labels[place][:2])
        tell(Counted("rows by what became of them", ledger.counts()))
    figures = _figures(history, opened.counts, taught.rows, taught.objective, seconds)
    figures |= {**measured.figures(out, work), **more, "processes": processes.size, "method": spec.adapter.kind}
    return {**figures, **template_figures(data.card)}


def _steps(spec: TuneSpec, rows: int) -> int:
    return max(1, math.ceil(spec.learn.epochs * math.ceil(rows / spec.learn.rows_per_step)))


def _course(
    spec: TuneSpec,
    taught: Taught,
    opened: Opened,
    facts: Mapping[str, Any],
    work: Path,
    start: Checkpoint | None,
    processes: Processes,
) -> Course[Any]:
    return Course(
        objective=taught.objective,
        rows=taught.rows,
        dev_rows=taught.dev_rows,
        named=opened.named,
        save=opened.save,
        load=opened.load,
        work=work,
        facts=facts,
        rate_share=rate_shares(spec),
        tables=opened.tables,
        label=lambda place: taught.labels[place][1],
        ledger=Ledger() if spec.learn.ledger else None,
        tag=lambda place: taught.labels[place][2],
        tags=frozenset(tag for _, _, tag in taught.labels),
        look=taught.look,
        after_step=opened.after_step,
        start=start,
        processes=processes,
    )


def _found(work: Path, processes: Processes, tell: Tell) -> Checkpoint | None:
    """Find the checkpoint to go on from: the first process chooses, all have to see it."""
    start = processes.first(lambda: newest(work / "checkpoints", tell))
    if processes.any(start is not None and not start.folder.is_dir()):
        raise StoreError(
            "not every process sees the checkpoint to go on from",
            where=str(work / "checkpoints"),
            mend="put the project folder on a disk that all machines share, or begin anew (--fresh)",
        )
    return start


def _as_begun(spec: TuneSpec, start: Checkpoint | None, tell: Tell) -> TuneSpec:
    """Give the settings with what the run that goes on chose at its beginning: nothing is chosen again."""
    changed: dict[str, str] = {}
    if start is not None:
        if not start.state["packed"]:  # what was packed is tried all the same: the machine has to be able to
            changed["packing"] = "never"
        changed["compile"] = "on" if start.state.get("compiled", False) else "off"
        told = ", ".join(f"learn.{name}={value}" for name, value in changed.items())
        tell(Chose("ways", told, "the run began so"))
    elif spec.learn.shard != "none" and spec.learn.compile != "off":
        changed["compile"] = "off"
        tell(Chose("ways", "learn.compile=off", "what is gathered layer by layer (learn.shard) is not compiled"))
    return spec.model_copy(update={"learn": spec.learn.model_copy(update=changed)})


def _facts(objective: Objective[Any], device: str, dtype: str, processes: Processes) -> dict[str, Any]:
    inner = getattr(objective, "inner", objective)
    packed, compiled = (bool(getattr(inner, name, False)) for name in ("packed", "compiled"))
    return choices(device, dtype, processes.size, packed=packed, compiled=compiled)


def _settings(spec: TuneSpec) -> Settings:
    learning, kept = spec.learn, spec.checkpoint
    return Settings(
        rate=learning.rate,
        schedule=learning.schedule,
        warmup_share=learning.warmup_share,
        epochs=learning.epochs,
        rows_per_step=learning.rows_per_step,
        weight_decay=learning.weight_decay,
        clip_norm=learning.clip_norm,
        seed=spec.seed,
        dev_every_steps=learning.dev_every_steps,
        save_every_steps=kept.every_steps,
        keep_checkpoints=kept.keep,
        optimizer=learning.optimizer,
        keep_best=learning.keep_best,
        stop_after_worse=learning.stop_after_worse,
    )


def _figures(
    history: list[dict[str, float]],
    counts: Mapping[str, int],
    rows: Sequence[Any],
    objective: Objective[Any],
    seconds: float,
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "trained_parameters": counts["trained"],
        "all_parameters": counts["all"],
        "rows": len(rows),
        "tokens_per_epoch": objective.tokens(rows),
        "supervised_per_epoch": objective.weight(rows),
        "steps": len(history),
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "learn_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
    }
    if "dev_loss" in history[-1]:
        figures["dev_loss"] = history[-1]["dev_loss"]
    return figures
