"""The proof, on the user's own run, that a killed run goes on bit for bit.

Its first steps are taken twice, each time in processes of their own: once straight, and once killed (SIGKILL) at a
random moment and taken up again.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from luthier.artifact.store import Artifact, Store
from luthier.errors import Stopped, StoreError, ToolError
from luthier.event import Event, Said, Step, Tell
from luthier.tune.job import Job
from luthier.tune.launch import run_workers
from luthier.tune.ordering import ordered
from luthier.tune.run import VERSION
from luthier.tune.spec import TuneSpec

STEPS = 12
"""Steps that are taken: some checkpoints before the kill, some steps after it."""


@dataclass(frozen=True)
class Proof:
    """What the two runs came to."""

    straight: Sequence[Mapping[str, float]]
    """The history, step by step."""
    resumed: Sequence[Mapping[str, float]]
    killed_after: int
    """The step after which the second run was killed."""
    resumed_at: int
    """The first step it took again."""
    differing_files: tuple[str, ...]
    """Files of the last checkpoint (weights, optimizer) that are not the same bytes."""
    checked_files: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every number and every byte is the same."""
        return bool(self.straight) and self.straight == self.resumed and not self.differing_files

    def lines(self) -> list[str]:
        """Give the proof as lines to be read."""
        shown = [
            f"killed (SIGKILL) after step {self.killed_after}, gone on at step {self.resumed_at}",
            f"{'step':>5}  {'loss, straight':>20}  {'loss, resumed':>20}",
        ]
        nothing: Mapping[str, float] = {}
        for one, other in zip_longest(self.straight, self.resumed, fillvalue=nothing):
            same = "the same bits" if one == other else "DIFFERENT"
            step = int((one or other)["step"])
            shown.append(f"{step:>5}  {one.get('loss', 0.0)!r:>20}  {other.get('loss', 0.0)!r:>20}  {same}")
        for name in self.checked_files:
            shown.append(f"{name}: {'DIFFERENT' if name in self.differing_files else 'the same bytes'}")
        shown.append("resume is exact" if self.holds else "resume is NOT exact")
        return shown


def verify_resume(
    spec: TuneSpec,
    model: Artifact,
    data: Artifact,
    store: Store,
    tell: Tell,
    *,
    processes: int = 1,
    steps: int = STEPS,
    seed: int | None = None,
) -> Proof:
    """Take the first steps of a run straight, and again with a kill at a moment drawn from `seed` (None: the clock).

    Nothing is made and nothing is left. Raises StoreError for a run of a single step, ToolError if a run fails.
    """
    order, device, dtype = ordered(spec, model, data, VERSION)
    place = store.work / f"verify-{order.id}-{os.getpid()}"
    often = spec.checkpoint.model_copy(update={"every_steps": max(1, steps // 4), "keep": 2})
    short = spec.model_copy(update={"checkpoint": often, "track": ()})
    job = Job(
        spec=short.model_dump(mode="json"),
        model=str(model.folder),
        data=str(data.folder),
        device=device.value,
        dtype=dtype.value,
        out="",
        work="",
        pause_after=steps,
    )
    try:
        tell(Said(f"the first {steps} steps, straight"))
        straight, seconds = _run(_in(job, place / "straight"), processes, tell, None)
        tell(Said("the same, killed at a random moment"))
        draw = random.Random(seed)
        moment = Moment(draw.randint(1, max(1, len(straight) - 1)), draw.uniform(0, seconds / max(1, len(straight))))
        _kill(_in(job, place / "killed"), processes, tell, moment)
        tell(Said(f"it was killed after step {moment.reached}; it goes on"))
        resumed, _ = _run(_in(job, place / "killed"), processes, tell, moment.after())
        names, differing = _compare(place)
        return Proof(straight, resumed, moment.reached, moment.resumed_at, differing, names)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _kill(job: Job, count: int, tell: Tell, moment: "Moment") -> None:
    """Kill a run at a moment; one that was done before it came is taken anew and killed sooner."""
    for delay_seconds in (moment.delay_seconds, 0.0, 0.0):
        moment.delay_seconds = delay_seconds
        shutil.rmtree(job.work)
        history, _ = _run(job, count, tell, moment)
        if not history:
            return
        moment.step = max(1, moment.step // 2)
    raise ToolError(
        "the run is too fast to be killed in the middle",
        where=f"{len(history)} steps",
        mend="verify a larger run: more rows a step, or a larger model",
    )


@dataclass
class Moment:
    """When a run is killed, and what is seen of it afterwards."""

    step: int
    delay_seconds: float
    reached: int = 0
    resumed_at: int = 0
    kills: bool = True

    def after(self) -> "Moment":
        """Only look from now on."""
        self.kills = False
        return self


def _in(job: Job, folder: Path) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    return replace(job, work=str(folder), out=str(folder / "out"))


def _run(job: Job, count: int, tell: Tell, moment: Moment | None) -> tuple[list[Mapping[str, float]], float]:
    """Run until the pause, or until the kill. Gives the history, and the seconds that the steps took."""
    workers: list[int] = []
    marks: list[float] = []

    def told(event: Event) -> None:
        if not isinstance(event, Step):
            return
        tell(event)
        marks.append(time.monotonic())
        if moment is None:
            return
        if moment.kills and event.step == moment.step:
            moment.reached = event.step
            time.sleep(moment.delay_seconds)  # somewhere in the next step, not always between two
            with suppress(ProcessLookupError):  # it was done before the moment came
                os.kill(workers[-1], signal.SIGKILL)
        elif not moment.kills and not moment.resumed_at:
            moment.resumed_at = event.step

    try:
        run_workers(job, count, told, workers.extend)
    except Stopped:
        pass  # the pause
    except ToolError as error:
        if moment is None or not moment.kills or "was killed" not in error.what:
            raise
        return [], 0.0
    else:
        raise StoreError(
            "the run has a single step: there is nothing to go on with",
            where=f"learn.rows_per_step={job.spec['learn']['rows_per_step']}",
            mend="verify a run of more steps",
        )
    path = Path(job.work) / "history.jsonl"
    history = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return history, marks[-1] - marks[0]


def _compare(place: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare the last checkpoints of both runs by the checksums of their files."""
    sums: list[Mapping[str, Any]] = []
    for name in ("straight", "killed"):
        last = sorted((place / name / "checkpoints").glob("step-*"))[-1]
        sums.append({f"{last.name}/{file}": found for file, found in _sums(last).items()})
    names = tuple(sorted({*sums[0], *sums[1]}))
    return names, tuple(name for name in names if sums[0].get(name) != sums[1].get(name))


def _sums(folder: Path) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads((folder / "state.json").read_text(encoding="utf-8"))["files"]
    return found
