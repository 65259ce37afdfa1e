"""What a metric is.

Every metric boils a row down to a few numbers that may be added up (its statistics), and makes its figure from their
sum over rows. So one bootstrap serves them all, corpus metrics included, and a row's own figure is the same function
of a sum over one row.

Letters in names of arrays: N rows, S statistics, B any leading shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one model did with N rows; a metric reads what it needs of it."""

    answers: Sequence[str]
    references: Sequence[str]
    log_probabilities: Floats
    """Sum over each row's supervised tokens, in nats, shape (N,)."""
    supervised: Floats
    """How many tokens that sum runs over, shape (N,)."""
    questions: Sequence[str] = ()
    details: Sequence[Mapping[str, Any]] = ()
    """What else belongs to each answer: a knowledge base's sources."""
    labels: Sequence[str] = ()
    """The classes that answers and references may name; the references' own where there are none."""
    measured: Mapping[str, Floats] = field(default_factory=dict)
    """What was found out about each row by more than its texts, by the name of the need: tests passed, scores of
    judges; shape (N, numbers)."""


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    label: str
    needs: str
    """What must be known of each row: "answers", "sources", "log_probabilities", or a name in `Outcome.measured`."""
    higher_is_better: bool
    is_corpus: bool
    """Whether the figure over all rows is something else than the mean over rows."""
    statistics: Callable[[Outcome], Floats]
    """Gives shape (N, S)."""
    figure: Callable[[Floats], Floats]
    """Gives, for sums of shape (..., S), figures of shape (...); NaN where there is nothing to measure."""
    samples: int = 1
    """How many answers a row must have at least."""
    is_share: bool = False
    """Whether a row's figure lies from 0 to 1, and the whole is the mean over rows."""


def ratio(sums: Floats) -> Floats:
    """Give the first number over the second, NaN where that is zero."""
    counts = sums[..., 1]
    found: Floats = np.where(counts > 0, sums[..., 0] / np.where(counts > 0, counts, 1), np.nan)
    return found


def row_mean(score: Callable[[str, str], float]) -> Callable[[Outcome], Floats]:
    """Give the statistics of a score of (answer, reference) that is averaged over rows: its value, and 1."""

    def statistics(outcome: Outcome) -> Floats:
        pairs = zip(outcome.answers, outcome.references, strict=True)
        return np.asarray([(score(*pair), 1.0) for pair in pairs], dtype=np.float64).reshape(-1, 2)

    return statistics


def of_rows(label: str, score: Callable[[str, str], float]) -> Metric:
    """Make a metric that is a score of (answer, reference) from 0 to 1, averaged over rows."""
    return Metric(label, "answers", True, False, row_mean(score), ratio, is_share=True)


def measured(label: str, needs: str) -> Metric:
    """Make a metric that is the mean of a number found out about each row."""

    def statistics(outcome: Outcome) -> Floats:
        found_N = outcome.measured[needs][:, 0]
        return np.stack([found_N, np.ones_like(found_N)], axis=-1)

    return Metric(label, needs, True, False, statistics, ratio)
