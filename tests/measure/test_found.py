"""Figures of what was found, as metrics of an evaluation, by hand."""

from math import log2
from typing import Any

import numpy as np
import pytest

from luthier.measure.metric import Outcome
from luthier.measure.metrics import metrics


def outcome(found: list[list[str]], wanted: list[str]) -> Outcome:
    nothing = np.zeros(len(wanted))
    details: list[dict[str, Any]] = [{"found": labels} for labels in found]
    blank = [""] * len(wanted)
    return Outcome(blank, wanted, nothing, nothing, blank, details)


def figure(name: str, found: list[list[str]], wanted: list[str]) -> float:
    metric = metrics()[name]
    return float(metric.figure(metric.statistics(outcome(found, wanted)).sum(axis=0)))


FOUND = [["docs/a.txt", "docs/b.txt"], ["docs/c.txt", "docs/a.txt", "docs/d.txt"], []]
WANTED = ["b.txt", "docs/a.txt\ndocs/d.txt", "docs/a.txt"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall_at_1", 0.0),
        ("recall_at_5", (1 + 1 + 0) / 3),
        ("recall_at_10", 2 / 3),
        ("mrr_at_10", (1 / 2 + 1 / 2 + 0) / 3),
        ("ndcg_at_10", (1 / log2(3) + (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3)) + 0) / 3),
    ],
)
def test_rankings_of_documents_are_measured(name: str, expected: float) -> None:
    assert figure(name, FOUND, WANTED) == pytest.approx(expected)


def test_a_row_that_names_no_document_counts_for_nothing() -> None:
    assert figure("mrr_at_10", [["a"], ["a"]], ["a", " "]) == 1.0
    assert np.isnan(figure("mrr_at_10", [["a"]], [""]))


def test_a_document_found_in_several_chunks_counts_once() -> None:
    assert figure("mrr_at_10", [["a", "a", "b"]], ["b"]) == pytest.approx(1 / 2)
