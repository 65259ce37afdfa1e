"""pass@k: how likely one of k answers passes its tests."""

from math import comb

import numpy as np

from luthier.measure.metric import Floats, Metric, Outcome, ratio

KS = (1, 5, 10, 100)
"""The k for which there is a metric."""


def estimate(samples: int, right: int, k: int) -> float:
    """Give the unbiased estimate of pass@k from `samples` answers of which `right` passed; samples >= k.

    Source: Chen et al. 2021, arXiv:2107.03374, equation 1: 1 - C(n - c, k) / C(n, k).
    """
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def pass_at(k: int) -> Metric:
    """Make the metric pass@k."""

    def statistics(outcome: Outcome) -> Floats:
        rows = [(estimate(int(samples), int(right), k), 1.0) for samples, right in outcome.measured["tests"]]
        return np.asarray(rows, dtype=np.float64).reshape(-1, 2)

    return Metric(f"pass@{k}", "tests", True, False, statistics, ratio, samples=k, is_share=True)
