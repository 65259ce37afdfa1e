"""Rows laid end to end: counted by hand, and each in exactly one pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.artifact.tokens import Tokens
from luthier.learn.packing import SHORTEST_PREFIX, common_prefix, fill, lay, total_weight


def _row(ids: list[int], learned: list[int], weight: list[float] | None = None) -> Tokens:
    mask = np.zeros(len(ids), np.bool_)
    mask[learned] = True
    return Tokens(np.array(ids, np.int32), mask, None if weight is None else np.array(weight, np.float32))


def test_rows_lie_end_to_end_and_each_token_is_predicted_by_the_one_before_it() -> None:
    laid = lay([_row([7, 8, 9], [0, 2]), _row([4, 5], [1])], share=True)
    assert laid.ids.tolist() == [7, 8, 9, 4, 5]
    assert laid.positions.tolist() == [0, 1, 2, 0, 1]
    assert laid.spans == ((0, 3), (3, 5))
    assert laid.prefix == 0
    assert laid.before.tolist() == [1, 3]
    assert laid.target.tolist() == [9, 5]
    assert laid.row.tolist() == [0, 1]
    assert laid.weight is None


def test_what_rows_begin_with_is_laid_once_and_predicts_the_first_token_of_each() -> None:
    shared = list(range(SHORTEST_PREFIX))
    first, second = SHORTEST_PREFIX, SHORTEST_PREFIX + 2
    rows = [_row([*shared, 90, 91], [first, first + 1]), _row([*shared, 80, 81, 82], [first, first + 2])]
    laid = lay(rows, share=True)
    assert laid.prefix == SHORTEST_PREFIX
    assert laid.ids.tolist() == [*shared, 90, 91, 80, 81, 82]
    assert laid.positions.tolist() == [*shared, first, first + 1, first, first + 1, first + 2]
    assert laid.spans == ((first, second), (second, second + 3))
    # 90 and 80 are both predicted from the last shared token; 91 from 90, 82 from 81
    assert laid.before.tolist() == [first - 1, first, first - 1, second + 1]
    assert laid.target.tolist() == [90, 91, 80, 82]
    assert lay(rows, share=False).ids.tolist() == [*shared, 90, 91, *shared, 80, 81, 82]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([_row([*range(40)], [39])], 0),  # nobody to share with
        ([_row([*range(40)], [39]), _row([*range(30), 1], [30])], 30),
        ([_row([*range(40)], [39]), _row([*range(40)], [39])], 39),  # each keeps a token of its own
        ([_row([*range(40)], [20]), _row([*range(40)], [39])], 20),  # what is learned is not shared
        ([_row([*range(40)], [39]), _row([*range(5), 1, 1], [6])], 0),  # too short to pay
    ],
)
def test_only_what_all_begin_with_and_none_learns_is_shared(rows: list[Tokens], expected: int) -> None:
    assert common_prefix(rows) == expected


def test_weights_go_with_their_tokens_and_the_first_token_never_counts() -> None:
    rows = [_row([7, 8, 9], [0, 1, 2], [9.0, 0.5, 2.0]), _row([4, 5], [0, 1])]
    laid = lay(rows, share=True)
    assert laid.weight is not None
    assert laid.weight.tolist() == [0.5, 2.0, 1.0]
    assert total_weight(rows) == 3.5


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_each_row_is_in_one_pass_and_passes_keep_to_the_budget(lengths: list[int], budget: int) -> None:
    rows = [_row([number] * length, []) for number, length in enumerate(lengths)]
    parts = list(fill(rows, budget))
    assert sorted(int(row.ids[0]) for part in parts for row in part) == list(range(len(rows)))
    assert all(len(part) == 1 or sum(len(row.ids) for row in part) <= budget for part in parts)
    assert all(parts)


def test_passes_of_a_step_are_about_as_long_as_each_other() -> None:
    rows = [_row([1] * length, []) for length in (50, 40, 30, 30, 20, 20, 10)]  # 200 tokens: two passes of 100
    assert [sum(len(row.ids) for row in part) for part in fill(rows, 110)] == [100, 100]
