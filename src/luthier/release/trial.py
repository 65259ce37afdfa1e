"""A canary's trial: what users asked while it was tried decides whether it becomes the stable release."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.released import current
from luthier.artifact.store import Artifact, Store
from luthier.artifact.traffic import NAME, SIDES, Exchange, Reply, read_exchanges
from luthier.engine.judging import Case, close_judge, open_judge
from luthier.engine.ports import ChatModel
from luthier.errors import GateError, StoreError
from luthier.event import Judged, Progress, Tell
from luthier.measure.gate import judge
from luthier.measure.interval import compare
from luthier.measure.metrics import rouge_l
from luthier.measure.task import HELDOUT
from luthier.release.log import promote, rollback
from luthier.release.spec import TrialSpec

RESAMPLES = 2000
JUDGED_AT_ONCE = 16

MEASURES: dict[str, Callable[[Reply], float | None]] = {
    "errors": lambda reply: float(bool(reply.error)),
    "cut": lambda reply: None if reply.error else float(reply.finish == "length"),
    "seconds": lambda reply: None if reply.error else reply.seconds,
    "tokens": lambda reply: None if reply.error else float(reply.tokens),
}
"""Name -> what is averaged over a side's replies; None where a reply does not count."""


def settle(store: Store, traffic: Artifact, tell: Tell, open_model: Callable[[str], ChatModel]) -> str:
    """Make the canary the stable release if its traffic passes the gate of its trial, else end the trial.

    `open_model` opens an artifact by its id, where one is the trial's judge.

    Gives the release's id. Raises StoreError if the traffic is not of the two releases in service now, GateError if
    the gate refuses (the trial has ended then) or if there were too few requests (it goes on).
    """
    stable, canary = (traffic.order.inputs[side] for side in SIDES)
    if (current(store), current(store, "canary")) != (stable, canary):
        raise StoreError(
            f"{traffic.id} is of {canary} beside {stable}, which are not the canary and the stable release now",
            where=str(traffic.folder),
            mend="give the traffic of those that are (luthier release --log)",
        )
    exchanges = list(read_exchanges(traffic.folder / NAME))
    trial = TrialSpec.model_validate(store.find(canary, "release").order.spec.get("trial", {}))
    asked = sum(exchange.canary is not None for exchange in exchanges)
    if asked < trial.requests:
        raise GateError(
            f"{asked} requests to the canary decide nothing, {trial.requests} do",
            where=str(traffic.folder),
            mend="let the trial go on, then ask again",
        )
    table = traffic_table(exchanges, _judged(trial.judge, exchanges, tell, open_model))
    verdicts = judge(trial.gate, {HELDOUT: table})
    for verdict in verdicts:
        tell(Judged(verdict.rule, verdict.value, verdict.passed))
    figures = {"traffic": traffic.id, "rules": [asdict(verdict) for verdict in verdicts], "table": table}
    failed = [f"{verdict.rule}: {verdict.value}" for verdict in verdicts if not verdict.passed]
    if failed:
        rollback(store, tell, f"{traffic.id}: {'; '.join(failed)}", channel="canary", figures=figures)
        raise GateError(
            f"the gate refuses the canary {canary}, {len(failed)} of {len(verdicts)} rules fail: {'; '.join(failed)}",
            where=str(traffic.folder / NAME),
            mend="look at its exchanges there; the trial has ended, and everybody gets the stable release",
        )
    promote(store, canary, tell, f"its trial passed ({traffic.id})", figures=figures)
    rollback(store, tell, "it is the stable release now", channel="canary")
    return canary


Scores = Mapping[str, Sequence[int | None]]
"""Side -> for each exchange the score of its answer: 0 where the judge came to none, None where there is no answer."""


def traffic_table(exchanges: Sequence[Exchange], scores: Scores | None = None) -> dict[str, Any]:
    """Give the figures of a trial in the form of an evaluation's: before is stable, after the canary.

    Requests are drawn anew with whatever sides they have, so shadow and canary trials share one interval. `agreement`
    is the ROUGE-L F1 of the canary's answers to the stable ones, where both were asked.
    """
    metrics = {}
    for name, measure in MEASURES.items():
        sides = [_sums([_measured(measure, getattr(exchange, side)) for exchange in exchanges]) for side in SIDES]
        metrics[name] = _figures(*sides, higher_is_better=False)
    agreed = [_agreement(exchange) for exchange in exchanges]
    metrics["agreement"] = _figures(_sums([None] * len(agreed)), _sums(agreed), higher_is_better=True)
    if not scores:
        return {"rows": len(exchanges), "metrics": metrics}
    metrics["relevance"] = _figures(*(_sums(scores[side]) for side in SIDES), higher_is_better=True)
    unjudged = {side: {"relevance": list(scores[side]).count(0)} for side in SIDES}
    return {"rows": len(exchanges), "metrics": metrics, "unjudged": unjudged}


def _judged(
    name: str, exchanges: Sequence[Exchange], tell: Tell, open_model: Callable[[str], ChatModel]
) -> Scores | None:
    """Let the trial's judge, if it has one, score how much each answer speaks to what was asked."""
    if not name:
        return None
    scores: dict[str, list[int | None]] = {side: [None] * len(exchanges) for side in SIDES}
    asked = []
    for place, exchange in enumerate(exchanges):
        turns = [turn for turn in exchange.messages if turn.get("role") == "user"]
        question = str(turns[-1].get("content", "")) if turns else ""
        for side, reply in ((SIDES[0], exchange.stable), (SIDES[1], exchange.canary)):
            if reply is not None and not reply.error:
                asked.append((side, place, Case(question, "", reply.text)))
    judge = open_judge(name, open_model)
    try:
        for begin in range(0, len(asked), JUDGED_AT_ONCE):
            part = asked[begin : begin + JUDGED_AT_ONCE]
            verdicts = judge.judge("relevance", [case for _, _, case in part])
            for (side, place, _), verdict in zip(part, verdicts, strict=True):
                scores[side][place] = verdict.score or 0
            tell(Progress("judge relevance", begin + len(part), len(asked), "answers"))
    finally:
        close_judge(judge)
    return scores


def _figures(
    before_NS: npt.NDArray[np.float64], after_NS: npt.NDArray[np.float64], *, higher_is_better: bool
) -> Mapping[str, float | None]:
    found = compare(
        before_NS,
        after_NS,
        _mean,
        higher_is_better=higher_is_better,
        groups=[str(place) for place in range(len(before_NS))],
        resamples=RESAMPLES,
        seed=0,
    )
    return {name: value if math.isfinite(value) else None for name, value in asdict(found).items()}


def _sums(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.asarray([(0.0, 0.0) if value is None else (value, 1.0) for value in values], dtype=np.float64)


def _mean(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):  # nobody asked: unknown
        found: npt.NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return found


def _measured(measure: Callable[[Reply], float | None], reply: Reply | None) -> float | None:
    return None if reply is None else measure(reply)


def _agreement(exchange: Exchange) -> float | None:
    stable, canary = exchange.stable, exchange.canary
    if stable is None or canary is None or stable.error or canary.error:
        return None
    return rouge_l(canary.text, stable.text)
