"""What is found out about answers by more than comparing texts: tests that are run, vectors, judges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from luthier.evaluate.question import Question
from luthier.evaluate.trials import Trial
from luthier.measure.metric import Floats, Metric
from luthier.measure.metrics import metrics
from luthier.measure.task import TaskSpec

Samples = Sequence[Sequence[str]]
"""For each row its answers, after the task's filters."""


@dataclass(frozen=True)
class Found:
    """What was found out about each row of one model."""

    values: Floats
    """Shape (N, numbers)."""
    notes: Sequence[Any]
    """What a person may read of it in the report, as plain JSON; '' where there is nothing."""
    unjudged: int | None = None
    """How many answers a judge could not judge; None where none was asked."""

    def part(self, places: Sequence[int]) -> "Found":
        """Give the same of some rows."""
        kept = self.values[np.asarray(places, dtype=np.int64)]
        unjudged = None if self.unjudged is None else int((kept[:, 0] == 0).sum())
        return Found(kept, [self.notes[place] for place in places], unjudged)


Find = Callable[[TaskSpec, Sequence[Question], Samples], Found]


@dataclass(frozen=True)
class Wanted:
    """What finds out each need of a metric, by the need's name."""

    finders: Mapping[str, Find]
    trials: Sequence[Trial] = ()
    """What the judge has shown of itself."""
    metrics: Mapping[str, Metric] = field(default_factory=metrics)
    """By what answers are measured, by name."""


def find_out(task: TaskSpec, rows: Sequence[Question], samples: Samples, wanted: Wanted) -> dict[str, Found]:
    """Give what the task's metrics need beyond texts and log-probabilities."""
    needs = dict.fromkeys(wanted.metrics[name].needs for name in task.metrics)
    return {need: wanted.finders[need](task, rows, samples) for need in needs if need in wanted.finders}
