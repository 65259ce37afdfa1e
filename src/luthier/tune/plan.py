"""What a run will take, before it is begun: memory, time, disk. Reads headers only, loads no weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from luthier.artifact.store import Artifact
from luthier.errors import ModelError, SpecError
from luthier.event import Chose
from luthier.model.plan import read_shapes
from luthier.model.shapes import Shapes
from luthier.tune.calibration import Calibration, read_calibration, scale_key
from luthier.tune.plan_load import Load, load_of
from luthier.tune.plan_place import Place, weights_room
from luthier.tune.plan_spread import Spread, spread
from luthier.tune.plan_terms import Memory, disk_terms, memory, method_group, pass_of
from luthier.tune.plan_time import LAYER_SECONDS, operations, passes_per_step, speed_of, step_seconds
from luthier.tune.plan_trained import trained_parameters
from luthier.tune.spec import TuneSpec


@dataclass(frozen=True)
class Plan:
    """What a run will take on each of its devices."""

    spec: TuneSpec
    place: Place
    dtype: str
    trained: int
    parameters: int
    memory: Memory
    peak_bytes: int
    unscaled_bytes: int
    """The peak before what earlier runs taught was laid over it."""
    spread: Spread
    """How several devices share the work."""
    packed: bool
    operations: float
    """Of one step."""
    fixed_seconds: float
    """Part of a step's time that does not hang on its operations."""
    step_seconds: float
    steps: int | None
    disk: Mapping[str, int]
    load: Load
    chose: Sequence[Chose]

    @property
    def hours(self) -> float | None:
        """Time of the whole run; None where no data was given."""
        return None if self.steps is None else self.steps * self.step_seconds / 3600

    @property
    def fits(self) -> bool:
        """Whether the device has so much memory."""
        return self.place.usable_bytes is None or self.peak_bytes <= self.place.usable_bytes


def make_plan(
    spec: TuneSpec,
    folder: Path,
    place: Place,
    data: Artifact | None,
    dtype: str,
    root: Path | None = None,
    load: Load | None = None,
    process_bytes: int | None = None,
) -> Plan:
    """Plan a run on a model folder. `root` is the project whose earlier runs are learned from; `load` replaces what
    the data say; `process_bytes` is what the process holds before a model is in it, where that was measured.

    Raises SpecError for a target that names no layer, ModelError for a folder that is no model.
    """
    if spec.device_map == "auto":  # then layers are computed twice
        spec = spec.model_copy(update={"learn": spec.learn.model_copy(update={"checkpoint_activations": True})})
    known = read_calibration(root) if root else Calibration()
    shapes = shapes_for(spec, folder)
    load = load or load_of(spec, data, place.devices)
    trained = trained_parameters(spec.adapter, shapes, load.outputs)
    taught = known.process_bytes.get(f"{place.device}/{method_group(spec)}")
    process = process_bytes or taught
    room = weights_room(spec, place)
    found = memory(spec, folder, shapes, load, dtype, place.device, int(process) if process else None, room)
    shared = spread(spec, found, shapes, place)
    raw = shared.memory.peak_bytes
    key = scale_key(place.device, spec.adapter.kind, spec.quantize)
    base = shared.memory.terms["process"]
    peak = int(base + (raw - base) * known.scale.get(key, 1.0))
    packed = pass_of(spec, folder, shapes, load, dtype, place.device).packed
    speed = speed_of(place, dtype, packed, known)
    chose = [Chose(name, "rehearsed" if "rehearsed" in why else "reckoned", why) for name, why in found.why.items()]
    chose.append(Chose("speed", f"{speed.per_second / 1e9:,.0f} GFLOP/s", speed.why))
    if taught or key in known.scale:
        chose.append(Chose("memory", "as measured", f"{known.runs} runs here corrected the plan"))
    return Plan(
        spec=spec,
        place=place,
        dtype=dtype,
        trained=trained,
        parameters=shapes.parameters,
        memory=shared.memory,
        peak_bytes=peak,
        unscaled_bytes=raw,
        spread=shared,
        packed=packed,
        operations=operations(spec, shapes, load, trained),
        fixed_seconds=passes_per_step(spec, load, packed) * shapes.layers * LAYER_SECONDS[place.device],
        step_seconds=step_seconds(spec, shapes, load, trained, place, packed, speed),
        steps=load.steps,
        disk=disk_terms(spec, shapes, dtype, load.outputs),
        load=load,
        chose=chose,
    )


def expected_peak_bytes(spec: TuneSpec, model: Artifact, data: Artifact | None, dtype: str, root: Path) -> int:
    """Give the highest memory a run on this machine's processor will hold."""
    return make_plan(spec, model.folder, Place("cpu", "cpu", None, 1.0), data, dtype, root).peak_bytes


def shapes_for(spec: TuneSpec, folder: Path) -> Shapes:
    """Read a model's shapes; where its files name layers otherwise than the model in memory, by its skeleton."""
    stamp = _stamp(folder)
    found = _shapes(folder.absolute(), stamp)
    try:
        trained_parameters(spec.adapter, found)
    except SpecError:
        try:
            found = _skeleton_shapes(folder.absolute(), stamp)
        except ModelError:
            return found  # whoever counts with it raises again
    return found


@lru_cache(8)
def _skeleton_shapes(folder: Path, stamp: Any) -> Shapes:
    from luthier.model.skeleton import open_skeleton, shapes_of  # torch: 7 s

    return shapes_of(open_skeleton(folder), sum(path.stat().st_size for path in folder.glob("*.safetensors")))


@lru_cache(8)
def _shapes(folder: Path, stamp: Any) -> Shapes:
    return read_shapes(folder)


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells that a folder's model is another."""
    paths = [*sorted(folder.glob("*.safetensors")), folder / "config.json"]
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.exists())
