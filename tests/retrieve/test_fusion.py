import numpy as np
import pytest

from luthier.retrieve.fusion import diverse, reciprocal_ranks, weighted


def test_ranks_are_fused_by_their_reciprocals_of_60_and_the_rank() -> None:
    fused = reciprocal_ranks([(1.0, [(7, 9.0), (8, 1.0)]), (1.0, [(8, 0.9)])])
    assert [number for number, _ in fused] == [8, 7]
    assert [score for _, score in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


def test_scores_are_fused_between_0_and_1() -> None:
    fused = weighted([(0.25, [(1, 30.0), (2, 20.0), (3, 10.0)]), (0.75, [(3, 0.9), (1, 0.1)])])
    assert [number for number, _ in fused] == [3, 1, 2]
    assert [score for _, score in fused] == pytest.approx([0.75, 0.25, 0.125])


def test_like_hits_give_way_to_different_ones() -> None:
    pairs = {1: (1, 0), 2: (1, 0.01), 3: (0, 1)}
    vectors = {number: np.asarray(pair, np.float32) for number, pair in pairs.items()}
    question = np.asarray([0.9, 0.43], np.float32)
    ranking = [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert diverse(ranking, vectors, question, 1.0, 2) == [2, 1]
    assert diverse(ranking, vectors, question, 0.5, 2) == [2, 3]
