"""The training loop, to be read from top to bottom.

A step takes the next rows of a seeded order, in one or more passes; its gradient is that of the mean loss over all
supervised tokens of the step, however the rows are cut into passes. Everything that bears on bits is in the
checkpoint or follows from the settings, so a resumed run gives the losses a straight one gives.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic

import numpy as np
import torch

from luthier.artifact import atomic
from luthier.errors import DataError, Stopped
from luthier.event import Chose, Tell
from luthier.event import Step as StepEvent
from luthier.learn import checkpoint
from luthier.learn.objective import Objective, Row
from luthier.learn.optimizer import Optimizers, open_optimizers
from luthier.learn.schedule import rate_at

HISTORY = "history.jsonl"


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


def _whole(name: str) -> float:
    return 1.0


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


def learn(course: Course[Row], settings: Settings, tell: Tell) -> list[dict[str, float]]:
    """Change the weights. Gives the history: a dict of step, epoch, loss, grad_norm, rate (and dev_loss) per step.

    Goes on from the newest whole checkpoint in `course.work`. Raises Stopped after Ctrl-C or SIGTERM, when the
    state is saved; DataError if the loss is no number.
    """
    steps_per_epoch = math.ceil(len(course.rows) / settings.rows_per_step)
    steps = max(1, math.ceil(settings.epochs * steps_per_epoch))
    optimizers = open_optimizers(
        settings.optimizer, course.named, decay=settings.weight_decay, shares=course.rate_share
    )
    begun, history = _go_on(course, optimizers, tell)
    clock = _Clock(steps - begun)
    with _stoppable() as stop_asked:
        for step in range(begun, steps):
            epoch, place = divmod(step, steps_per_epoch)
            rows = _rows_of(course.rows, epoch, place, settings)
            rate = rate_at(step, steps, settings.rate, math.ceil(steps * settings.warmup_share), settings.schedule)
            loss = _gradient(course, rows, step)
            grad_norm = float(torch.nn.utils.clip_grad_norm_(course.named.values(), settings.clip_norm))
            _check_number(loss, grad_norm, step, rows)
            optimizers.step(rate)
            done = step + 1
            line = {
                "step": done,
                "epoch": round(done / steps_per_epoch, 4),
                "loss": loss,
                "grad_norm": grad_norm,
                "rate": rate,
            }
            if course.dev_rows and (done % settings.dev_every_steps == 0 or done == steps):
                line["dev_loss"] = dev_loss(course)
            history.append(line)
            speed, left = clock.tick(course.objective.tokens(rows))
            tell(StepEvent(done, steps, line["epoch"], loss, grad_norm, rate, speed, left, line.get("dev_loss")))
            stopping = bool(stop_asked) and done < steps
            if stopping or (done % settings.save_every_steps == 0 and done < steps):
                _save(course, settings, optimizers, history)
            if stopping:
                raise Stopped(
                    f"stopped after step {done} of {steps}; everything up to it is saved",
                    where=str(course.work),
                    mend="run the same command again (without --fresh): it goes on from there",
                )
    _write_history(course.work, history)
    return history


def dev_loss(course: Course[Row]) -> float:
    """Give the mean loss over the supervised tokens of the dev rows, in nats."""
    objective = course.objective
    with torch.no_grad():
        total = sum(float(objective.loss(part)) for part in objective.passes(course.dev_rows))
    return total / max(1, objective.weight(course.dev_rows))


def _rows_of(rows: Sequence[Row], epoch: int, place: int, settings: Settings) -> list[Row]:
    """The rows of one step: each epoch is an order of its own, drawn from the seed, and holds every row once."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(rows))
    begin = place * settings.rows_per_step
    return [rows[index] for index in order[begin : begin + settings.rows_per_step]]


def _gradient(course: Course[Row], rows: Sequence[Row], step: int) -> float:
    """Leave the gradient of the mean loss in the parameters. Gives that loss."""
    weight = course.objective.weight(rows)
    if weight == 0:
        raise DataError(
            f"none of the {len(rows)} rows of a step has a token to learn",
            where=f"step {step + 1}",
            mend="prepare the data again: luthier prepare --look 3 shows what is learned",
        )
    total = 0.0
    for part in course.objective.passes(rows):
        loss = course.objective.loss(part) / weight
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total


def _check_number(loss: float, grad_norm: float, step: int, rows: Sequence[Row]) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DataError(
            f"the loss is {loss}, its gradient's norm {grad_norm}",
            where=f"step {step + 1}, {len(rows)} rows",
            mend="lower learn.rate, or compute in float32 (dtype=float32); what was saved before is kept",
        )


def _go_on(course: Course[Row], optimizers: Optimizers, tell: Tell) -> tuple[int, list[dict[str, float]]]:
    """Load the newest whole checkpoint, if there is one: the steps done, and their history."""
    found = checkpoint.newest(course.work / "checkpoints", tell)
    if found is None:
        return 0, []
    course.load(found.folder)
    checkpoint.restore(found, optimizers, course.named)
    lines = (course.work / HISTORY).read_text(encoding="utf-8").splitlines()
    tell(Chose("start", f"step {found.step + 1}", f"checkpoint {found.folder.name} found"))
    return found.step, [json.loads(line) for line in lines[: found.step]]


def _save(course: Course[Row], settings: Settings, optimizers: Optimizers, history: list[dict[str, float]]) -> None:
    _write_history(course.work, history)  # first: a checkpoint never lacks its history
    folder = course.work / "checkpoints"
    checkpoint.write(folder, len(history), course.save, optimizers, course.named, course.facts)
    checkpoint.rotate(folder, settings.keep_checkpoints)


def _write_history(work: Path, history: list[dict[str, float]]) -> None:
    atomic.write_text(work / HISTORY, "".join(json.dumps(line) + "\n" for line in history))


class _Clock:
    """Tokens a second over the last steps, and the seconds left."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._marks: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def tick(self, tokens: int) -> tuple[float, float]:
        """One step is done. Gives (tokens per second, seconds left)."""
        self._left -= 1
        self._marks = [*self._marks[-20:], (time.monotonic(), tokens)]
        seconds = max(1e-9, self._marks[-1][0] - self._marks[0][0])
        counted = self._marks[1:]
        return sum(count for _, count in counted) / seconds, seconds / len(counted) * self._left


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM ask for a stop after the step; a second one stops at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may take signals
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
