"""Read a recipe: a YAML file whose keys are steps, in the order in which they run.

about: one sentence                 # optional
tune:                               # a step; its name is its stage unless `stage` says otherwise
  stage: tune
  use: {model: base}                # optional: a role's step, or an artifact's id
  learn: {rate: 1e-4}               # the rest is the stage's spec
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.errors import SpecError
from luthier.recipe.exams import as_the_recipe_asks
from luthier.recipe.stages import STAGES, Stage
from luthier.spec import Settings, Spec, build, override, read_settings


@dataclass(frozen=True)
class Step:
    """One step of a recipe."""

    name: str
    stage_name: str
    spec: Spec
    use: Mapping[str, str]
    """Role -> the name of an earlier step, or an artifact's id."""
    where: str
    """`file:line`."""

    @property
    def stage(self) -> Stage:
        """Its row in the table."""
        return STAGES[self.stage_name]


@dataclass(frozen=True)
class Recipe:
    """Steps in order."""

    path: Path
    about: str
    steps: tuple[Step, ...]


def load_recipe(path: Path, assignments: Sequence[str] = ()) -> Recipe:
    """Read a recipe with `step.key=value` laid over it. Raises SpecError for what is unknown or wrong."""
    settings = override(read_settings(path), assignments)
    about = settings.data.pop("about", "")
    steps: list[Step] = []
    for name in settings.data:
        steps.append(_step(settings, name, [step.name for step in steps]))
    if not steps:
        raise SpecError("the recipe has no step", where=str(path), mend="write one, for instance `fetch:`")
    specs = as_the_recipe_asks([(step.stage_name, step.spec) for step in steps])
    return Recipe(path, str(about), tuple(replace(step, spec=spec) for step, spec in zip(steps, specs, strict=True)))


def _step(settings: Settings, name: str, earlier: list[str]) -> Step:
    if not isinstance(settings.data[name], dict | None):
        raise SpecError(
            f"the step {name!r} holds {settings.data[name]!r}, not settings",
            where=settings.place((name,)),
            mend=f"write its settings below it, or `{name}: {{}}`",
        )
    if settings.data[name] is None:
        settings.data[name] = {}
    part = settings.part(name)
    stage_name = str(part.data.pop("stage", name))
    if stage_name not in STAGES:
        near = difflib.get_close_matches(stage_name, STAGES, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"known stages: {', '.join(STAGES)} (say which with `stage:`)"
        raise SpecError(f"there is no stage {stage_name!r}", where=settings.place((name,)), mend=mend)
    use = part.data.pop("use", {})
    _check_use(use, stage_name, settings.place((name, "use")))
    for role, target in use.items():
        if target not in earlier and not (isinstance(target, str) and "-" in target):
            raise SpecError(
                f"{role} of {name!r} is {target!r}, which is no earlier step and no artifact id",
                where=settings.place((name, "use", role)),
                mend=f"earlier steps: {', '.join(earlier) or 'none'}",
            )
    return Step(name, stage_name, build(STAGES[stage_name].spec_class(), part), use, settings.place((name,)))


def _check_use(use: object, stage_name: str, where: str) -> None:
    roles = STAGES[stage_name].takes
    unknown = [role for role in use if role not in roles] if isinstance(use, dict) else [use]
    if unknown:
        raise SpecError(
            f"{stage_name!r} takes no {unknown[0]!r}",
            where=where,
            mend=f"it takes: {', '.join(roles) or 'nothing'}, written as `use: {{role: step}}`",
        )
