"""Scores that a judge left with unjudged answers: the same evaluation, run once more, asks about those alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact.card import NAME
from luthier.artifact.store import Store
from luthier.event import Said, Tell, Warned
from luthier.measure.task import ALL

KEPT = "kept"
"""In such scores, the folder with what addresses said: it is asked for again neither."""


def unjudged(figures: Mapping[str, Any]) -> int:
    """Count the answers, and the cases of a trial, on which there is no verdict, each once: in `all`, where that is."""
    tables = [table for table in figures.values() if isinstance(table, Mapping)]
    whole = figures.get(ALL)
    if whole and 2 * whole["rows"] == sum(table.get("rows", 0) for table in tables):  # else a tag of that name
        tables = [whole]
    answers = sum(count for table in tables for side in table.get("unjudged", {}).values() for count in side.values())
    return int(answers + sum(side["unjudged"] for table in tables for side in table.get("bias", {}).values()))


def is_to_judge_again(store: Store, name: str, tell: Tell) -> bool:
    """Whether there are scores of this id with unjudged answers, from which nothing was made."""
    if store.dry or not (store.artifacts / name / NAME).exists():
        return False
    count = unjudged(store.find(name).card.figures)
    users = store.users(name) if count else []
    if users:
        tell(
            Warned(
                f"{count} answers of {name} are unjudged, and stay so: {users[0]} was made from it",
                f"remove {users[-1]} first (luthier remove), then ask once more",
            )
        )
    elif count:
        tell(Said(f"{count} answers of {name} are unjudged: the judge is asked about them once more"))
    return bool(count) and not users


def bring_kept(store: Store, work: Path) -> None:
    """Put what addresses said the last time where this evaluation looks for it."""
    for path in (store.artifacts / work.name / KEPT).glob("*.jsonl"):
        if not (work / path.name).exists():
            shutil.copy(path, work)


def keep(figures: Mapping[str, Any], work: Path, out: Path) -> None:
    """Keep what addresses said in scores with unjudged answers."""
    if unjudged(figures):
        (out / KEPT).mkdir()
        for path in work.glob("*.jsonl"):
            shutil.copy(path, out / KEPT)
