"""How good a ranking is: recall@k, nDCG@10, MRR, of document ids against judgements."""

from collections.abc import Callable, Mapping, Sequence
from math import log2

import numpy as np
import numpy.typing as npt

Judgements = Mapping[str, float]
"""Id -> how relevant it is; what is not in it is not relevant."""


def recall(ranking: Sequence[str], relevant: Judgements, count: int) -> float:
    """Give the share of the relevant ones among the first `count`; NaN where none is relevant."""
    wanted = {name for name, grade in relevant.items() if grade > 0}
    return len(wanted & set(ranking[:count])) / len(wanted) if wanted else float("nan")


def ndcg(ranking: Sequence[str], relevant: Judgements, count: int = 10) -> float:
    """Give the discounted cumulative gain over the best one; NaN where none is relevant.

    Gains are linear, as in trec_eval, and so in BEIR. Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based
    evaluation of IR techniques".
    """
    best = _gain(sorted(relevant.values(), reverse=True)[:count])
    return _gain([relevant.get(name, 0.0) for name in ranking[:count]]) / best if best else float("nan")


def reciprocal_rank(ranking: Sequence[str], relevant: Judgements, count: int | None = None) -> float:
    """Give 1 over the rank of the first relevant one, 0 if there is none (among the first `count`)."""
    for rank, name in enumerate(ranking[:count], start=1):
        if relevant.get(name, 0.0) > 0:
            return 1 / rank
    return 0.0


RETRIEVAL_METRICS: dict[str, Callable[[Sequence[str], Judgements], float]] = {
    "recall@1": lambda ranking, relevant: recall(ranking, relevant, 1),
    "recall@5": lambda ranking, relevant: recall(ranking, relevant, 5),
    "recall@10": lambda ranking, relevant: recall(ranking, relevant, 10),
    "ndcg@10": lambda ranking, relevant: ndcg(ranking, relevant, 10),
    "mrr@10": lambda ranking, relevant: reciprocal_rank(ranking, relevant, 10),
}


def measure_rankings(
    rankings: Sequence[Sequence[str]], judgements: Sequence[Judgements]
) -> dict[str, npt.NDArray[np.float64]]:
    """Give each metric of each question, shape (questions,): their means are the figures, paired they compare."""
    pairs = list(zip(rankings, judgements, strict=True))
    return {name: np.asarray([metric(*pair) for pair in pairs]) for name, metric in RETRIEVAL_METRICS.items()}


def _gain(grades: Sequence[float]) -> float:
    return sum(grade / log2(rank + 1) for rank, grade in enumerate(grades, start=1))
