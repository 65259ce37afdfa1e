"""The heavy half of `tune`: model and adapter in memory, the loop, the adapter on disk."""

import math
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from luthier.artifact.card import template_figures
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import read_tokens
from luthier.event import Chose, Counted, Tell, Warned
from luthier.learn.checkpoint import Checkpoint, newest
from luthier.learn.ledger import LEDGER, Ledger
from luthier.learn.loop import HISTORY, Course, Settings, learn
from luthier.learn.objective import Objective
from luthier.tune.curves import draw
from luthier.tune.objectives import setting_of
from luthier.tune.opening import open_trained, rate_shares
from luthier.tune.plan import expected_peak_bytes
from luthier.tune.spec import TuneSpec
from luthier.tune.trackers import Run, tracked


def train(
    spec: TuneSpec, model: Artifact, data: Artifact, device: str, dtype: str, out: Path, work: Path, tell: Tell
) -> Mapping[str, Any]:
    """Train into `out`; checkpoints and history lie in `work` meanwhile. Gives the card's figures."""
    setting = setting_of(data)
    start = newest(work / "checkpoints", tell)
    _replay(start, tell)
    loaded = setting.load(model, data, spec, device, dtype)
    rows_there = len(read_tokens(data.folder, "train"))
    opened = open_trained(loaded, model.id, spec, _steps(spec, rows_there), setting.peft_task, tell)
    torch.manual_seed(spec.seed)
    taught = setting.teach(opened, model, data, spec, tell)
    packed = bool(getattr(taught.objective, "packed", False))
    _check_replayed(start, packed, tell)
    ledger = Ledger() if spec.learn.ledger else None
    course = Course(
        objective=taught.objective,
        rows=taught.rows,
        dev_rows=taught.dev_rows,
        named=opened.named,
        save=opened.save,
        load=opened.load,
        work=work,
        facts={"model": model.id, "packed": packed, "threads": torch.get_num_threads()},
        rate_share=rate_shares(spec),
        label=lambda place: taught.labels[place][1],
        ledger=ledger,
        tag=lambda place: taught.labels[place][2],
        tags=frozenset(tag for _, _, tag in taught.labels),
        look=taught.look,
        after_step=opened.after_step,
        start=start,
    )
    begun = time.monotonic()
    run = Run(out.name, work, spec.model_dump(mode="json"))
    with tracked(spec.track, run, tell) as told:
        history = learn(course, _settings(spec), told)
    seconds = time.monotonic() - begun
    opened.save_final(out)
    shutil.copy2(work / HISTORY, out / HISTORY)
    draw(history, out / "curves.png")
    if ledger is not None:
        ledger.write(out / LEDGER, lambda place: taught.labels[place][:2])
        tell(Counted("rows by what became of them", ledger.counts()))
    figures = _figures(history, opened.counts, taught.rows, taught.objective, spec, seconds, model, dtype)
    return {**figures, **taught.figures(), "method": spec.adapter.kind, **template_figures(data.card)}


def _steps(spec: TuneSpec, rows: int) -> int:
    return max(1, math.ceil(spec.learn.epochs * math.ceil(rows / spec.learn.rows_per_step)))


def _replay(start: Checkpoint | None, tell: Tell) -> None:
    """Take over, from the checkpoint a run goes on from, the choices that bear on bits."""
    if start is None:
        return
    threads = int(start.state["threads"])
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
        tell(Chose("threads", str(threads), "the checkpoint was made with so many: sums keep their order"))


def _check_replayed(start: Checkpoint | None, packed: bool, tell: Tell) -> None:
    began = packed if start is None else bool(start.state["packed"])
    if began != packed:
        tell(
            Warned(
                f"the run began with packed={began}, this machine computes packed={packed}",
                "losses go on but not bit for bit; go on with the same versions and processor for that",
            )
        )


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
    spec: TuneSpec,
    seconds: float,
    model: Artifact,
    dtype: str,
) -> Mapping[str, Any]:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
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
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "expected_peak_bytes": expected_peak_bytes(spec, model.folder, dtype),
    }
    if "dev_loss" in history[-1]:
        figures["dev_loss"] = history[-1]["dev_loss"]
    return figures
