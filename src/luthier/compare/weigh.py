"""What candidates' answers are worth: figures against the base, with intervals that hold for all of them at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from luthier.artifact.example import Example
from luthier.compare.spec import CompareSpec
from luthier.errors import SpecError
from luthier.measure.interval import Comparison
from luthier.measure.interval import compare as compare_rows
from luthier.measure.metric import Outcome
from luthier.measure.metrics import metrics
from luthier.measure.rule import parse
from luthier.measure.task import nearest


def check_metrics(spec: CompareSpec) -> None:
    """Raise SpecError for a metric that is unknown or needs more than answers, and for a gate over others."""
    known = {name: metric for name, metric in metrics().items() if metric.needs == "answers"}
    for name in spec.metrics:
        if name not in known:
            what = (
                f"the metric {name!r} needs more than answers" if name in metrics() else f"there is no metric {name!r}"
            )
            raise SpecError(what, where="key compare.metrics", mend=nearest(name, known))
    for rule in spec.gate:
        for asked in parse(rule).names():
            if not set(asked.parts) & set(spec.metrics):
                raise SpecError(
                    f"the gate asks for {asked.text!r}, which is not measured",
                    where="key compare.gate",
                    mend=f"add it to metrics, or ask for one of: {', '.join(spec.metrics)}",
                )


def outcome(rows: Sequence[Example], answers: Sequence[str]) -> Outcome:
    """Give answers and references as metrics read them."""
    nothing = np.zeros(len(rows))
    return Outcome(answers, [row.reference for row in rows], nothing, nothing)


def joint_confidence(confidence: float, comparisons: int) -> float:
    """Give each interval's confidence so that all of them hold together with the one asked for (Bonferroni).

    Source: Dunn 1961, "Multiple comparisons among means", section 2.
    """
    return 1 - (1 - confidence) / max(1, comparisons)


def weigh(
    spec: CompareSpec, rows: Sequence[Example], before: Sequence[str], after: Sequence[str], comparisons: int
) -> dict[str, Comparison]:
    """Hold one candidate's answers against another's, metric by metric, as one of so many comparisons."""
    groups = [row.group or row.id for row in rows]
    found = {}
    for name in spec.metrics:
        metric = metrics()[name]
        found[name] = compare_rows(
            metric.statistics(outcome(rows, before)),
            metric.statistics(outcome(rows, after)),
            metric.figure,
            higher_is_better=metric.higher_is_better,
            groups=groups,
            resamples=spec.bootstrap,
            seed=spec.seed,
            confidence=joint_confidence(spec.confidence, comparisons),
        )
    return found


def row_figures(spec: CompareSpec, rows: Sequence[Example], answers: Sequence[str]) -> list[float | None]:
    """Give the first metric's figure of each answer."""
    metric = metrics()[spec.metrics[0]]
    return [_finite(value) for value in metric.figure(metric.statistics(outcome(rows, answers))).tolist()]


def plain_table(rows: Sequence[Example], found: Mapping[str, Comparison]) -> dict[str, Any]:
    """Give figures in the form of an evaluation's scores; what is not finite becomes None."""
    table = {name: {key: _finite(value) for key, value in asdict(one).items()} for name, one in found.items()}
    return {"rows": len(rows), "groups": len({row.group or row.id for row in rows}), "metrics": table}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
