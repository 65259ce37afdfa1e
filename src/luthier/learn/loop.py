"""The training loop, to be read from top to bottom.

A step takes the next rows of a seeded order, in one or more passes; its gradient is that of the mean loss over all
supervised tokens of the step, however the rows are cut into passes. Everything that bears on bits is in the
checkpoint or follows from the settings, so a resumed run gives the losses a straight one gives.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal

import numpy as np
import torch

from luthier.artifact import atomic
from luthier.errors import DataError, Stopped
from luthier.event import Chose, Tell
from luthier.event import Step as StepEvent
from luthier.learn import checkpoint
from luthier.learn.clock import Clock, memory_bytes
from luthier.learn.distributed import ALONE, Processes, seed_of
from luthier.learn.doctor import Doctor, History
from luthier.learn.gradient import Learned, clip, learn_from, mean_loss
from luthier.learn.gradient import Step as RowsOfStep
from luthier.learn.ledger import Ledger
from luthier.learn.objective import Objective, Row
from luthier.learn.optimizer import Optimizers, open_optimizers
from luthier.learn.schedule import rate_at
from luthier.learn.stop import stoppable

HISTORY = "history.jsonl"
BEST = "best"
SEEN = "ledger.json"
TASK = "loss of "
"""Before the tag of rows whose mean loss in a step is noted apart."""


@dataclass(frozen=True)
class Settings:
    """How weights change: what the loop needs to know, nothing chosen later."""

    rate: float
    schedule: str
    warmup_share: float
    epochs: float
    rows_per_step: int
    weight_decay: float
    clip_norm: float
    seed: int
    dev_every_steps: int
    save_every_steps: int
    keep_checkpoints: int
    optimizer: str = "adamw"
    keep_best: bool = False
    """Whether the weights of the step with the lowest dev loss are those that come out."""
    stop_after_worse: int | None = None
    """Stop once the dev loss was so many times in a row no better than its lowest."""
    pause_after: int | None = None
    """Stop after this step as if asked to: everything is saved, and the run can go on."""


def _whole(name: str) -> float:
    return 1.0


def _numbered(row: int) -> str:
    return f"row {row + 1}"


def _untagged(row: int) -> str:
    return ""


def _nothing(step: int) -> None:
    return None


@dataclass(frozen=True)
class Course(Generic[Row]):
    """One run: what is learned, from which rows, by which weights, and where its traces lie."""

    objective: Objective[Row]
    rows: Sequence[Row]
    dev_rows: Sequence[Row]
    named: Mapping[str, torch.nn.Parameter]
    """The parameters that change."""
    save: Callable[[Path], None]
    """Writes the weights into a checkpoint's folder."""
    load: Callable[[Path], None]
    """Reads them back."""
    work: Path
    facts: Mapping[str, Any]
    """Choices that bear on bits; a checkpoint carries them."""
    rate_share: Callable[[str], float] = _whole
    """Gives a parameter's part of the rate, by its name."""
    tables: frozenset[str] = frozenset()
    """Parameters whose rows are tokens: embeddings and the head."""
    label: Callable[[int], str] = _numbered
    """Names a row in errors, by its place in `rows`: file and line."""
    ledger: Ledger | None = None
    """Where each row's losses are noted."""
    tag: Callable[[int], str] = _untagged
    """Gives a row's tag; where `tags` holds several, losses are told for each."""
    tags: frozenset[str] = frozenset()
    look: Callable[[], Mapping[str, float]] = dict
    """More figures for the history, taken with each dev loss and once before the first step."""
    start: checkpoint.Checkpoint | Literal["newest"] | None = "newest"
    """Where to go on from: a checkpoint already found, none, or the newest whole one in `work`."""
    processes: Processes = ALONE
    """Who learns together. All call `save`; where weights are in parts it gathers them, and the first one writes."""
    after_step: Callable[[int], None] = _nothing
    """Called with the step, counted from 0, once the weights have changed and before their gradients are forgotten."""


def learn(course: Course[Row], settings: Settings, tell: Tell) -> list[dict[str, float]]:
    """Change the weights. Gives the history: a dict of step, epoch, loss, grad_norm, rate (and dev_loss) per step.

    Goes on from the newest whole checkpoint in `course.work`. Raises Stopped after Ctrl-C or SIGTERM, when the
    state is saved; DataError if the loss is no number.
    """
    steps_per_epoch = math.ceil(len(course.rows) / settings.rows_per_step)
    steps = max(1, math.ceil(settings.epochs * steps_per_epoch))
    optimizers = open_optimizers(
        settings.optimizer,
        course.named,
        decay=settings.weight_decay,
        shares=course.rate_share,
        tables=course.tables,
    )
    begun, history = _go_on(course, optimizers, tell)
    doctor = Doctor(steps, tell)
    doctor.recall(history)
    clock = Clock(steps - begun)
    pause = None if settings.pause_after is None else min(settings.pause_after, steps - 1)
    first = dict(course.processes.looking(course.look)) if begun == 0 else {}
    with stoppable() as stop_asked:
        for step in range(begun, steps):
            indexes = _rows_of(len(course.rows), *divmod(step, steps_per_epoch), settings)
            rows = [course.rows[index] for index in indexes]
            line = {"step": step + 1, "epoch": round((step + 1) / steps_per_epoch, 4)}
            line |= _step(course, settings, optimizers, step, steps, indexes)
            if (step + 1) % settings.dev_every_steps == 0 or step + 1 == steps:
                line |= _look(course, settings, history, step + 1)
            line = first | line
            first = {}
            history.append(line)
            doctor.look(history)
            speed, left = clock.tick(course.objective.tokens(rows))
            tell(_event(line, steps, speed, left))
            ended = step + 1 == steps or _is_stale(history, settings.stop_after_worse)
            stopping = course.processes.any(bool(stop_asked) or (pause is not None and step + 1 >= pause)) and not ended
            if stopping or ((step + 1) % settings.save_every_steps == 0 and not ended):
                _save(course, settings, optimizers, history)
            if stopping:
                raise Stopped(
                    f"stopped after step {step + 1} of {steps}; everything up to it is saved",
                    where=str(course.work),
                    mend="run the same command again (without --fresh): it goes on from there",
                )
            if ended:
                break
    _write_history(course, history)
    _finish(course, settings, history, steps, tell)
    return history


def _step(
    course: Course[Row], settings: Settings, optimizers: Optimizers, step: int, steps: int, indexes: Sequence[int]
) -> dict[str, float]:
    """Take one step. Gives its loss, its gradient's norm before clipping, and its rate."""
    rate = rate_at(step, steps, settings.rate, math.ceil(steps * settings.warmup_share), settings.schedule)
    torch.manual_seed(seed_of(settings.seed, step, course.processes.rank))  # so that no random state need be kept
    loss, tasks = _gradient(course, indexes, step)
    grad_norm = clip(course.named, settings.clip_norm)
    _check_number(course, loss, grad_norm, step, indexes)
    optimizers.step(rate)
    course.after_step(step)
    optimizers.forget()
    return {"loss": loss, "grad_norm": grad_norm, "rate": rate, **tasks}


def _look(course: Course[Row], settings: Settings, history: History, step: int) -> dict[str, float]:
    """Take the figures of the dev rows and those the caller wants; keep the weights if they are the best so far."""
    figures = dict(course.processes.looking(course.look))
    if not course.dev_rows:
        return figures
    figures["dev_loss"] = dev_loss(course)
    best = min((line["dev_loss"] for line in history if "dev_loss" in line), default=math.inf)
    if settings.keep_best and figures["dev_loss"] < best:
        checkpoint.write_weights(course.work / BEST, step, course.save, writes=course.processes.is_first)
    return figures


def _is_stale(history: History, most: int | None) -> bool:
    """Whether the last `most` dev losses were no lower than the lowest before them."""
    losses = [line["dev_loss"] for line in history if "dev_loss" in line]
    return most is not None and len(losses) > most and min(losses[-most:]) >= min(losses[:-most])


def _finish(course: Course[Row], settings: Settings, history: History, steps: int, tell: Tell) -> None:
    done = int(history[-1]["step"])
    if done < steps:
        tell(Chose("end", f"step {done} of {steps}", f"{settings.stop_after_worse} dev losses were no better"))
    dev = [(line["dev_loss"], int(line["step"])) for line in history if "dev_loss" in line]
    if settings.keep_best and dev:
        loss, step = min(dev)
        if step != done:
            course.processes.wait()  # until they are written
            course.load(course.work / BEST)
        tell(Chose("weights", f"those of step {step}", f"its dev loss, {loss:.4f}, is the lowest"))


FIGURES = ("step", "epoch", "loss", "grad_norm", "rate", "dev_loss")


def _event(line: Mapping[str, float], steps: int, speed: float, left: float) -> StepEvent:
    tasks = {name.removeprefix(TASK): value for name, value in line.items() if name.startswith(TASK)}
    more = {name: value for name, value in line.items() if name not in FIGURES and not name.startswith(TASK)}
    return StepEvent(
        int(line["step"]),
        steps,
        line["epoch"],
        line["loss"],
        line["grad_norm"],
        line["rate"],
        speed,
        left,
        line.get("dev_loss"),
        memory_bytes(),
        tasks,
        more,
    )


def dev_loss(course: Course[Row]) -> float:
    """Give the mean loss over the supervised tokens of the dev rows, in nats."""
    return mean_loss(course.objective, course.dev_rows, course.processes)


def _rows_of(count: int, epoch: int, place: int, settings: Settings) -> list[int]:
    """The rows of one step: each epoch is an order of its own, drawn from the seed, and holds every row once."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(count)
    begin = place * settings.rows_per_step
    return [int(index) for index in order[begin : begin + settings.rows_per_step]]


def _gradient(course: Course[Row], indexes: Sequence[int], step: int) -> tuple[float, dict[str, float]]:
    """Leave the gradient of the mean loss in the parameters. Gives that loss, and the mean of each tag's rows."""
    rows = [course.rows[index] for index in indexes]
    weight = course.objective.weight(rows)
    if weight == 0:
        raise DataError(
            f"none of the {len(rows)} rows of a step has a token to learn",
            where=f"step {step + 1}",
            mend="prepare the data again: luthier prepare --look 3 shows what is learned",
        )
    learned = learn_from(
        course.objective, RowsOfStep(rows, weight), course.named, course.processes, each=course.ledger is not None
    )
    return learned.loss, _note(course, indexes, learned, step)


def _note(course: Course[Row], indexes: Sequence[int], found: Learned, step: int) -> dict[str, float]:
    """Write the rows' mean losses into the ledger. Gives those of each tag, where there are several."""
    if course.ledger is None:
        return {}
    pairs = zip(indexes, found.sums, found.weights, strict=True)
    learned = {index: (loss, weight) for index, loss, weight in pairs if weight > 0}
    course.ledger.note(step + 1, list(learned), [loss / weight for loss, weight in learned.values()])
    by_tag: dict[str, list[tuple[float, float]]] = {}
    for index, pair in learned.items():
        by_tag.setdefault(course.tag(index), []).append(pair)
    if len(course.tags) < 2:
        return {}
    return {
        f"{TASK}{tag or 'untagged'}": sum(loss for loss, _ in pairs) / sum(weight for _, weight in pairs)
        for tag, pairs in sorted(by_tag.items())
    }


def _check_number(course: Course[Row], loss: float, grad_norm: float, step: int, indexes: Sequence[int]) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        names = ", ".join(course.label(index) for index in indexes[:8]) + (" ..." if len(indexes) > 8 else "")
        raise DataError(
            f"the loss is {loss}, its gradient's norm {grad_norm}",
            where=f"step {step + 1}, {len(indexes)} rows: {names}",
            mend="look at these rows, lower learn.rate, or compute in float32 (dtype=float32); "
            "what was saved before is kept",
        )


def _go_on(course: Course[Row], optimizers: Optimizers, tell: Tell) -> tuple[int, list[dict[str, float]]]:
    """Load the newest whole checkpoint, if there is one: the steps done, and their history."""
    found = checkpoint.newest(course.work / "checkpoints", tell) if course.start == "newest" else course.start
    if found is None:
        return 0, []
    course.load(found.folder)
    if course.ledger is not None:
        course.ledger.load(found.folder / SEEN, found.step)
    checkpoint.restore(found, optimizers, course.named)
    lines = (course.work / HISTORY).read_text(encoding="utf-8").splitlines()
    tell(Chose("start", f"step {found.step + 1}", f"checkpoint {found.folder.name} found"))
    return found.step, [json.loads(line) for line in lines[: found.step]]


def _save(course: Course[Row], settings: Settings, optimizers: Optimizers, history: list[dict[str, float]]) -> None:
    _write_history(course, history)  # first: a checkpoint never lacks its history
    folder = course.work / "checkpoints"
    writes = course.processes.is_first

    def save(place: Path) -> None:
        course.save(place)
        if course.ledger is not None and writes:
            course.ledger.save(place / SEEN)

    done = len(history)
    epoch, place = divmod(done, math.ceil(len(course.rows) / settings.rows_per_step))
    sampler = {"seed": settings.seed, "epoch": epoch, "step_of_epoch": place}
    facts = {**course.facts, "sampler": sampler}
    checkpoint.write(folder, done, save, optimizers, course.named, facts, writes=writes)
    if writes:
        checkpoint.rotate(folder, settings.keep_checkpoints)


def _write_history(course: Course[Row], history: list[dict[str, float]]) -> None:
    if course.processes.is_first:
        atomic.write_text(course.work / HISTORY, "".join(json.dumps(line) + "\n" for line in history))
