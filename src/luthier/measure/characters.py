"""chrF: F-score over runs of characters. N rows, S = 3 statistics for each of the 6 lengths of a run."""

from collections import Counter

import numpy as np

from luthier.measure.metric import Floats, Outcome

LONGEST = 6
BETA = 2.0
"""Recall weighs so many times as much as precision."""


def chrf_statistics(outcome: Outcome) -> Floats:
    """Give, for runs of 1 to 6 characters, how many were said, wanted, and both: shape (N, 18)."""
    rows = []
    for answer, reference in zip(outcome.answers, outcome.references, strict=True):
        said, wanted = "".join(answer.split()), "".join(reference.split())
        row: list[int] = []
        for size in range(1, LONGEST + 1):
            said_runs, wanted_runs = _runs(said, size), _runs(wanted, size)
            # sacrebleu counts what was said only where the reference has runs of that length too
            said_count = said_runs.total() if wanted_runs else 0
            row += [said_count, wanted_runs.total(), (said_runs & wanted_runs).total()]
        rows.append(row)
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3 * LONGEST)


def chrf_figure(sums: Floats) -> Floats:
    """Give chrF, from 0 to 100, of sums of shape (..., 18).

    Precision and recall are averaged over the lengths for which both sides have runs.
    Source: Popović 2015, aclanthology.org/W15-3049, equation 1; sacrebleu's `chrF2|eff:yes`.
    """
    said, wanted, both = (sums[..., place::3] for place in range(3))
    counts = (said > 0) & (wanted > 0)
    lengths = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counts, both / said, 0.0).sum(axis=-1) / lengths
        recall = np.where(counts, both / wanted, 0.0).sum(axis=-1) / lengths
        score = (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    found: Floats = np.where(np.isfinite(score), 100 * score, 0.0)
    return found


def _runs(text: str, size: int) -> Counter[str]:
    return Counter(text[place : place + size] for place in range(len(text) - size + 1))
