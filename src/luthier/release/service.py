"""Not worse than the model in service: the same rows, both models' answers, the paired interval of the difference."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.artifact.released import current
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError
from luthier.measure.gate import Verdict, show
from luthier.measure.interval import compare
from luthier.measure.metrics import metrics
from luthier.measure.task import HELDOUT, nearest

SIDES = {"model": "value", "tuned": "after", "base": "before"}
"""The role of a model in an evaluation -> how its side is called in the figures."""
RESAMPLES = 2000

Rows = Mapping[str, Mapping[str, Any]]
"""Row id -> its record in answers.jsonl."""


def service_verdicts(not_worse: Mapping[str, float], tuned: Artifact, scores: Artifact, store: Store) -> list[Verdict]:
    """Judge a model's scores against those of the model in service, metric by metric, on held-out rows.

    Raises KindError if the model in service was not asked these rows, SpecError for a metric the scores do not hold.
    """
    name = current(store)
    if name is None:
        return [Verdict("not worse than the model in service", "none is in service", True)]
    serving = store.find(store.find(name, "release").order.inputs["tuned"])
    if serving.id == tuned.id:
        return [Verdict("not worse than the model in service", f"{tuned.id} is the one", True)]
    ours = _rows(scores)
    theirs, side = _scores_of(serving, scores, ours, store)
    return [_verdict(metric, most, (ours, side_of(scores, tuned.id)), (theirs, side), serving.id)
            for metric, most in not_worse.items()]  # fmt: skip


def side_of(scores: Artifact, model: str) -> str:
    """Give the side on which a model stands in scores, '' if it is not among them."""
    return next((side for role, side in SIDES.items() if scores.order.inputs.get(role) == model), "")


def _scores_of(serving: Artifact, scores: Artifact, ours: Rows, store: Store) -> tuple[Rows, str]:
    """Find the newest scores of the model in service to the same task that hold all of our rows."""
    for card in reversed(store.cards()):
        if card.kind != "scores" or card.inputs.get("task") != scores.order.inputs.get("task"):
            continue
        found = store.find(card.id)
        side = side_of(found, serving.id)
        if side and ours.keys() <= (rows := _rows(found)).keys():
            return rows, side
    raise KindError(
        f"{serving.id}, which is in service, was not asked the rows of {scores.id}",
        where="key release.not_worse",
        mend=f"evaluate {serving.id} on the same rows first (luthier evaluate with the settings of {scores.id})",
    )


def _rows(scores: Artifact) -> dict[str, Mapping[str, Any]]:
    text = (scores.folder / "answers.jsonl").read_text(encoding="utf-8")
    return {row["id"]: row for row in map(json.loads, text.splitlines()) if row["tag"] == HELDOUT}


def _verdict(metric: str, most: float, ours: tuple[Rows, str], theirs: tuple[Rows, str], serving: str) -> Verdict:
    rows, side = ours
    known = metrics()
    held = [name for name in next(iter(rows.values()), {"metrics": {}})["metrics"] if name in known]
    if metric not in held:
        raise SpecError(
            f"the scores hold no {metric!r} of held-out rows", where="key release.not_worse", mend=nearest(metric, held)
        )
    order = sorted(rows)
    found = compare(
        _statistics(metric, [theirs[0][name] for name in order], theirs[1]),
        _statistics(metric, [rows[name] for name in order], side),
        known[metric].figure,
        higher_is_better=known[metric].higher_is_better,
        groups=[rows[name].get("group") or name for name in order],
        resamples=RESAMPLES,
        seed=0,
    )
    value = (
        f"{show(found.before)} in service, {show(found.after)} here; gain {show(found.gain)}, "
        f"95 % interval {show(found.low)} to {show(found.high)}"
    )
    return Verdict(f"{metric} not worse than {serving}'s by more than {most:g}", value, found.low >= -most)


def _statistics(metric: str, rows: Sequence[Mapping[str, Any]], side: str) -> Any:
    """A metric's sums of each row, shape (N, S); where only its figure was kept, that counts once."""
    if not metrics()[metric].is_corpus and "statistics" not in rows[0]:
        return np.asarray([(_known(row["metrics"][metric][side]), 1.0) for row in rows])
    try:
        return np.asarray([row["statistics"][metric][side] for row in rows], dtype=np.float64)
    except KeyError:
        raise SpecError(
            f"the scores keep no {metric!r} row by row",
            where="key release.not_worse",
            mend="evaluate both models again, or take a metric that is a mean over rows",
        ) from None


def _known(value: float | None) -> float:
    return np.nan if value is None else value
