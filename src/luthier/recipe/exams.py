"""Where the rows of the tasks in `lint.against` are: as the recipe asks them, or as they were asked here before."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luthier.artifact.store import Store
from luthier.event import Chose, Tell
from luthier.spec import Spec

if TYPE_CHECKING:
    from luthier.evaluate.spec import EvaluateSpec
    from luthier.prepare.spec import PrepareSpec


def as_the_recipe_asks(steps: Sequence[tuple[str, Spec]]) -> list[Spec]:
    """Give the specs of steps (stage, spec), each `prepare`'s tasks with the rows that an `evaluate` asks them with."""
    rows: dict[str, str] = {}
    for stage, spec in steps:
        if stage == "evaluate" and (asked := cast("EvaluateSpec", spec)).rows:
            rows[asked.task] = asked.rows
    return [_with_rows(cast("PrepareSpec", spec), rows) if stage == "prepare" else spec for stage, spec in steps]


def as_asked_before(spec: "PrepareSpec", store: Store, tell: Tell) -> "PrepareSpec":
    """Give tasks without rows those that the newest scores of the project asked them with, and tell it."""
    rows: dict[str, str] = {}
    by: dict[str, str] = {}
    for card in store.cards() if spec.lint.against else ():
        task, file = str(card.spec.get("task", "")), str(card.spec.get("rows", ""))
        if card.kind == "scores" and task in spec.lint.against and file and Path(file).exists():
            rows[task], by[task] = file, card.id
    for task, file in rows.items():
        tell(Chose("lint.against", f"{task}={file}", why=f"{by[task]} asked it with these rows"))
    return _with_rows(spec, rows)


def _with_rows(spec: "PrepareSpec", rows: Mapping[str, str]) -> "PrepareSpec":
    against = tuple(f"{named}={rows[named]}" if named in rows else named for named in spec.lint.against)
    if against == spec.lint.against:
        return spec
    return spec.model_copy(update={"lint": spec.lint.model_copy(update={"against": against})})
