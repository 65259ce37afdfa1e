"""What runs measured, kept in the project so that the next plan is nearer: `.luthier/calibration.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from luthier.artifact import atomic
from luthier.errors import StoreError

NAME = "calibration.json"
REMEMBERED = 5
"""A new figure weighs at least a fifth."""
PROCESS_BOUNDS = (0.3e9, 3e9)
SCALE_BOUNDS = (0.7, 1.5)
"""Figures outside are of a machine in trouble, or of a process that did more than train: they are not learned from."""


@dataclass(frozen=True)
class Calibration:
    """Figures of runs that are done."""

    runs: int = 0
    process_bytes: Mapping[str, float] = field(default_factory=dict)
    """Device, and adapter or own weights -> what is held before a model is."""
    scale: Mapping[str, float] = field(default_factory=dict)
    """Device, method and bits -> measured memory by planned, process apart."""
    speed: Mapping[str, float] = field(default_factory=dict)
    """Device, number format and packing -> operations a second."""


def speed_key(device: str, dtype: str, packed: bool) -> str:
    """Name what a speed holds for."""
    return f"{device}/{dtype}/{'packed' if packed else 'one by one'}"


def scale_key(device: str, kind: str, quantize: str) -> str:
    """Name what a scale of memory holds for."""
    return f"{device}/{kind}/{quantize}"


def read_calibration(root: Path) -> Calibration:
    """Read a project's figures; none where no run has ended. Raises StoreError for a file that cannot be read."""
    path = root / NAME
    if not path.exists():
        return Calibration()
    try:
        return Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the measured figures cannot be read: {error}",
            where=str(path),
            mend="remove the file: the next run writes it anew",
        ) from None


def learn_from(
    root: Path,
    *,
    process: tuple[str, float] | None = None,
    scale: tuple[str, float] | None = None,
    speed: tuple[str, float] | None = None,
) -> None:
    """Add a run's figures; those out of bounds are passed over."""
    known = read_calibration(root)
    weight = 1 / min(known.runs + 1, REMEMBERED)
    found = replace(known, runs=known.runs + 1)
    if process is not None and PROCESS_BOUNDS[0] < process[1] < PROCESS_BOUNDS[1]:
        found = replace(found, process_bytes=_mixed(known.process_bytes, *process, weight))
    if scale is not None and SCALE_BOUNDS[0] < scale[1] < SCALE_BOUNDS[1]:
        found = replace(found, scale=_mixed(known.scale, *scale, weight))
    if speed is not None and speed[1] > 0:
        found = replace(found, speed=_mixed(known.speed, *speed, weight))
    atomic.write_json(root / NAME, {name: getattr(found, name) for name in Calibration.__dataclass_fields__})


def _mixed(known: Mapping[str, float], key: str, value: float, weight: float) -> dict[str, float]:
    old = known.get(key, value)
    return {**known, key: old + weight * (value - old)}
