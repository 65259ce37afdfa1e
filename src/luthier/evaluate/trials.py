"""What trials a judge has stood in this project: how far its scores may be trusted."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.artifact.store import Store
from luthier.event import Chose, Tell, Warned
from luthier.measure.metrics import CRITERIA
from luthier.measure.task import HELDOUT, TaskSpec

POOR = 0.4
"""Below this kappa, agreement with people is at most fair. Source: Landis and Koch 1977, Biometrics 33, section 4."""


@dataclass(frozen=True)
class Trial:
    """What came of one criterion's trial; without an id the judge never stood one."""

    criterion: str
    id: str = ""
    title: str = ""
    rows: int = 0
    kappa: float | None = None
    low: float | None = None
    high: float | None = None
    accuracy: float | None = None
    flips: float | None = None
    """How often its yes or no hangs on what stands first."""

    @property
    def is_poor(self) -> bool:
        """Whether its scores should decide nothing."""
        return self.kappa is None or self.kappa < POOR


def criteria_of(task: TaskSpec) -> list[str]:
    """Give the criteria by which a task's answers are judged."""
    return [name for name in CRITERIA if f"judged_{name}" in task.metrics]


def find_trials(store: Store, judge: str, criteria: Iterable[str]) -> dict[str, str]:
    """Give, for an order's inputs, the newest trial of a judge by each criterion: `trial.CRITERION` -> its id."""
    wanted = set(criteria)
    found: dict[str, str] = {}
    for card in store.cards() if wanted else ():
        if card.kind == "scores" and card.spec.get("judge") == judge and "task" in card.inputs:
            path = store.artifacts / card.id / "task.json"
            task = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if task.get("kind") == "judge" and task["criterion"] in wanted:
                found[f"trial.{task['criterion']}"] = card.id
    return found


def read_trials(store: Store, found: Mapping[str, str], criteria: Sequence[str], tell: Tell) -> list[Trial]:
    """Read what came of the trials, and tell it."""
    trials = [_read(store, name, found.get(f"trial.{name}", "")) for name in criteria]
    for trial in trials:
        if not trial.id:
            tell(
                Warned(
                    f"this judge of {trial.criterion} never stood a trial here: nobody knows how far to trust it",
                    f"put it on trial: luthier evaluate task=judge_{trial.criterion} judge=... rows=...",
                )
            )
            continue
        kappa = "unknown" if trial.kappa is None else f"{trial.kappa:.2f}"
        why = f"its trial {trial.id} on {trial.rows} rows that people labelled"
        tell(Chose(f"trust in the judge of {trial.criterion}", f"kappa {kappa}", why))
        if trial.is_poor:
            tell(Warned(f"its {trial.criterion} scores should decide nothing: kappa {kappa}", "take another judge"))
    return trials


def _read(store: Store, criterion: str, name: str) -> Trial:
    if not name:
        return Trial(criterion)
    trial = store.find(name, "scores")
    figures: Mapping[str, Any] = trial.card.figures
    tables = {tag: table for tag, table in figures.items() if isinstance(table, Mapping) and "metrics" in table}
    table = tables.get(HELDOUT) or next(iter(tables.values()))
    kappa = table["metrics"].get("kappa", {})
    leanings: Mapping[str, Any] = next(iter(table.get("bias", {}).values()), {})
    return Trial(
        criterion,
        id=trial.id,
        title=json.loads((trial.folder / "task.json").read_text(encoding="utf-8"))["title"],
        rows=table["rows"],
        kappa=kappa.get("value"),
        low=kappa.get("low"),
        high=kappa.get("high"),
        accuracy=table["metrics"].get("accuracy", {}).get("value"),
        flips=leanings.get("changed by order"),
    )
