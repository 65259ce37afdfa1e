"""Check a whole recipe before anything is made: kinds fit, files exist, memory and disk suffice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luthier.artifact.card import NAME
from luthier.artifact.store import Artifact, Store
from luthier.errors import SpecError
from luthier.event import hush
from luthier.fetch.plan import expected_bytes
from luthier.merge import room
from luthier.model import machine
from luthier.model.machine import check_disk, check_memory
from luthier.recipe.call import call_stage, wire
from luthier.recipe.load import Recipe, Step
from luthier.tune.plan_fit import Asked, mend_memory
from luthier.tune.plan_place import Place


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    artifact: Artifact
    inputs: dict[str, Artifact | None]


def check(recipe: Recipe, store: Store) -> list[Planned]:
    """Walk through a recipe without making anything. Gives each step with the id it has or will have."""
    dry = Store(store.root, dry=True)
    made: dict[str, Artifact] = {}
    plan: list[Planned] = []
    for step in recipe.steps:
        inputs = wire(step.stage, step.spec, step.use, made, dry, step.where)
        artifact = call_stage(step.stage, step.spec, inputs, dry, hush)
        made[step.name] = artifact
        plan.append(Planned(step, artifact, inputs))
        check_room(plan[-1], store)
    check_gates(plan)
    return plan


def check_gates(plan: list[Planned]) -> None:
    """Raise SpecError if a gate asks for a metric that its scores will not hold."""
    measured: dict[str, Any] = {p.artifact.id: p.step.spec for p in plan if p.artifact.kind == "scores"}
    for planned in plan:
        scores = planned.inputs.get("scores")
        if planned.artifact.kind != "release" or scores is None or scores.id not in measured:
            continue
        gate: Any = planned.step.spec
        if not measured[scores.id].metrics():
            continue  # lm-eval says what it measures when it has
        known = measured[scores.id].metrics()
        for name in gate.names():
            if not set(name) & set(known):
                raise SpecError(
                    f"the gate asks for {'.'.join(name)!r}, which the evaluation will not measure",
                    where=planned.step.where,
                    mend=f"it measures: {', '.join(known)}",
                )


def check_room(planned: Planned, store: Store) -> None:
    """Raise RoomError if what a step will take is known and this machine has not got it."""
    check_it = ROOM.get(planned.step.stage_name)
    if check_it and not planned.artifact.exists:
        check_it(planned, store)


def _fetch_room(planned: Planned, store: Store) -> None:
    need = expected_bytes(planned.step.spec)  # type: ignore[arg-type]
    if need:
        check_disk(store.root, 2 * need, f"the step {planned.step.name!r}")


def _tune_room(planned: Planned, store: Store) -> None:
    model = planned.inputs["model"]
    if model is None or not model.exists:
        return  # not fetched yet: checked again before the step
    spec: Any = planned.step.spec
    choices, data = planned.artifact.order.choices, planned.inputs["data"]
    is_cpu = choices["device"] == "cpu"
    # how fast it is does not bear on room; how much memory a GPU has is not known without loading torch
    free = machine.free_memory_bytes() if is_cpu else None
    place = Place("cpu" if is_cpu else "cuda", "this machine", free, speed=1.0)
    known = data if data is not None and data.exists else None
    asked = Asked(spec, model.folder, place, known, str(choices["dtype"]), store.root)
    plan = asked.plan()
    if not plan.fits:
        check_memory(plan.peak_bytes, f"the step {planned.step.name!r}", mend_memory(asked, plan))
    check_disk(store.root, sum(plan.disk.values()), f"the step {planned.step.name!r}")


def _merge_room(planned: Planned, store: Store) -> None:
    tuned = planned.inputs["tuned"]
    if tuned is None:
        return
    folder = store.artifacts / (tuned.id if tuned.kind == "model" else tuned.order.inputs["model"])
    if (folder / NAME).exists():  # else not fetched yet: checked again before the merge
        spec: Any = planned.step.spec
        room.check_room(spec, folder, tuned, store.root, f"the step {planned.step.name!r}")


ROOM: dict[str, Callable[[Planned, Store], None]] = {"fetch": _fetch_room, "tune": _tune_room, "merge": _merge_room}
