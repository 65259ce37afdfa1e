from math import isnan, log2

import pytest

from luthier.measure.retrieval import measure_rankings, ndcg, recall, reciprocal_rank


def test_ndcg_is_that_of_the_worked_example() -> None:
    # Wikipedia, "Discounted cumulative gain": grades 3 2 3 0 1 2 give DCG 6.861; with 3 and 2 left out, IDCG 8.740
    grades = {"d1": 3.0, "d2": 2.0, "d3": 3.0, "d4": 0.0, "d5": 1.0, "d6": 2.0, "d7": 3.0, "d8": 2.0}
    assert ndcg(["d1", "d2", "d3", "d4", "d5", "d6"], grades, 6) == pytest.approx(0.785, abs=5e-4)


def test_a_missed_document_costs_its_share() -> None:
    relevant = {"a": 1.0, "b": 1.0}
    assert recall(["x", "a", "y"], relevant, 3) == 0.5
    assert recall(["x", "a", "y"], relevant, 1) == 0.0
    assert reciprocal_rank(["x", "a", "y"], relevant) == 0.5
    assert reciprocal_rank(["x", "a", "y"], relevant, 1) == 0.0
    assert ndcg(["x", "a", "y"], relevant) == pytest.approx((1 / log2(3)) / (1 + 1 / log2(3)))


def test_a_question_without_relevant_documents_has_no_recall() -> None:
    assert isnan(recall(["a"], {}, 1))
    assert isnan(ndcg(["a"], {"a": 0.0}))


def test_each_metric_has_a_value_for_each_question() -> None:
    found = measure_rankings([["a"], ["b"]], [{"a": 1.0}, {"a": 1.0}])
    assert found["mrr@10"].tolist() == [1.0, 0.0]
