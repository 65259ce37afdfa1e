"""A run held against its plan: peak memory, step time and disk, as planned and as measured."""

import resource
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from luthier.artifact.store import Artifact
from luthier.errors import LuthierError
from luthier.event import Event, Step, Tell, Warned
from luthier.learn.clock import memory_bytes
from luthier.tune.calibration import learn_from, scale_key, speed_key
from luthier.tune.plan import Plan, make_plan
from luthier.tune.plan_place import Place
from luthier.tune.plan_terms import method_group
from luthier.tune.spec import TuneSpec

MUCH_MORE = 1.15
"""A process whose peak before the run was nearer to that of the run than this did other things: nothing is learned."""


class Measured:
    """Watches one run from before its model is loaded."""

    def __init__(
        self,
        spec: TuneSpec,
        model: Artifact,
        data: Artifact,
        device: str,
        dtype: str,
        work: Path,
        tell: Tell,
        processes: int = 1,
    ) -> None:
        self._spec, self._device, self._dtype = spec, device.partition(":")[0], dtype
        self._root = work.parent.parent
        self._before = peak_bytes(self._device)
        kind = self._device if self._device == "cpu" else "cuda"
        place = Place(kind, self._device, None, None if kind == "cpu" else 1.0, processes)
        self._plan: Plan | None = None
        try:
            self._plan = make_plan(spec, model.folder, place, data, dtype, self._root)
            if kind == "cpu":  # all it loads is there by now
                held = memory_bytes() or None
                self._plan = make_plan(spec, model.folder, place, data, dtype, self._root, process_bytes=held)
        except LuthierError as error:  # a model that can be trained and not planned is trained
            tell(Warned(f"this run cannot be planned: {error.what}", error.mend))
        self._marks: list[float] = []

    def watching(self, tell: Tell) -> Tell:
        """Give a `tell` that notes when each step ended."""

        def told(event: Event) -> None:
            if isinstance(event, Step):
                self._marks.append(time.monotonic())
            tell(event)

        return told

    def figures(self, out: Path, work: Path) -> Mapping[str, Any]:
        """Give planned and measured figures for the card, and keep what the next plan learns from."""
        peak = peak_bytes(self._device)
        seconds = self._step_seconds()
        measured: dict[str, float] = {
            "peak_bytes": peak,
            "artifact_bytes": _size(out),
            "checkpoints_bytes": _size(work / "checkpoints"),
        }
        if seconds is not None:
            measured["step_seconds"] = round(seconds, 4)
        plan = self._plan
        if plan is None:
            return {"measured": measured, "peak_bytes": peak}
        planned: dict[str, Any] = {
            "peak_bytes": plan.peak_bytes,
            "artifact_bytes": plan.disk["artifact"],
            "checkpoints_bytes": plan.disk["checkpoints"],
            "terms": dict(plan.memory.terms),
        }
        if self._device == "cpu":
            planned["step_seconds"] = round(plan.step_seconds, 4)
        self._learn(plan, peak, seconds)
        return {"planned": planned, "measured": measured, "peak_bytes": peak, "expected_peak_bytes": plan.peak_bytes}

    def _step_seconds(self) -> float | None:
        """The median, so that saving and looking at dev rows do not count; the first step warms up."""
        steps = [later - earlier for earlier, later in zip(self._marks, self._marks[1:], strict=False)]
        return statistics.median(steps) if steps else None

    def _learn(self, plan: Plan, peak: int, seconds: float | None) -> None:
        spec = self._spec
        raw = plan.unscaled_bytes
        process = plan.memory.terms["process"]
        more: dict[str, Any] = {}
        if peak > self._before * MUCH_MORE:
            if raw - process < process / 2:
                more["process"] = (f"{self._device}/{method_group(spec)}", float(peak - (raw - process)))
            else:
                key = scale_key(self._device, spec.adapter.kind, spec.quantize)
                more["scale"] = (key, (peak - process) / (raw - process))
        if seconds is not None and seconds > plan.fixed_seconds:
            key = speed_key(self._device, self._dtype, plan.packed)
            more["speed"] = (key, plan.operations / (seconds - plan.fixed_seconds))
        learn_from(self._root, **more)


def peak_bytes(device: str) -> int:
    """Give the most memory this process has held: of a GPU by its allocator, else resident."""
    if device == "cuda" and torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
