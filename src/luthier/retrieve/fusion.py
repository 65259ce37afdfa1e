"""From several rankings to one, and from many like hits to few different ones."""

from collections.abc import Mapping, Sequence

import numpy as np

from luthier.retrieve.ports import Vector

RRF_CONSTANT = 60
"""Source: Cormack et al. 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods"."""

Ranking = Sequence[tuple[int, float]]
"""(id, score), the best first."""


def reciprocal_ranks(rankings: Sequence[tuple[float, Ranking]]) -> list[tuple[int, float]]:
    """Fuse (weight, ranking) pairs by ranks: the sum of weight / (60 + rank), ranks from 1."""
    fused: dict[int, float] = {}
    for weight, ranking in rankings:
        for rank, (number, _) in enumerate(ranking, start=1):
            fused[number] = fused.get(number, 0.0) + weight / (RRF_CONSTANT + rank)
    return in_order(fused)


def weighted(rankings: Sequence[tuple[float, Ranking]]) -> list[tuple[int, float]]:
    """Fuse (weight, ranking) pairs by scores, each ranking's brought to 0 for its lowest and 1 for its highest."""
    fused: dict[int, float] = {}
    for weight, ranking in rankings:
        scores = [score for _, score in ranking]
        low, width = (min(scores), max(scores) - min(scores)) if scores else (0.0, 0.0)
        for number, score in ranking:
            fused[number] = fused.get(number, 0.0) + weight * ((score - low) / width if width else 1.0)
    return in_order(fused)


FUSIONS = {"rrf": reciprocal_ranks, "weighted": weighted}


def in_order(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """Give (id, score), the highest first; of equal ones the lower id."""
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def diverse(ranking: Ranking, vectors: Mapping[int, Vector], question: Vector, share: float, count: int) -> list[int]:
    """Choose `count` by maximal marginal relevance: share * likeness to the question - (1 - share) * likeness to the
    likest that is chosen. Those without a vector are not chosen.

    Source: Carbonell and Goldstein 1998, "The Use of MMR, Diversity-Based Reranking".
    """
    ids = [number for number, _ in ranking if number in vectors]
    if not ids:
        return []
    matrix = np.stack([vectors[number] for number in ids])
    relevance, chosen = matrix @ question, list[int]()
    nearest = np.full(len(ids), -np.inf, np.float32)
    while len(chosen) < min(count, len(ids)):
        value = share * relevance - (1 - share) * np.where(np.isfinite(nearest), nearest, 0)
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
        nearest = np.maximum(nearest, matrix @ matrix[chosen[-1]])
    return [ids[place] for place in chosen]
