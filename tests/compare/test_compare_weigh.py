"""Intervals of many candidates hold together as often as is said."""

import numpy as np
import pytest
from compare_models import example

from luthier.compare.spec import CompareSpec
from luthier.compare.weigh import joint_confidence, weigh


def test_the_share_of_error_is_divided_by_the_comparisons() -> None:
    assert joint_confidence(0.95, 1) == pytest.approx(0.95)
    assert joint_confidence(0.95, 5) == pytest.approx(0.99)


def test_four_intervals_hold_together_as_often_as_is_said_while_plain_ones_do_not() -> None:
    """Four candidates which are truly as good as the base: exact matches by chance, as often on both sides."""
    draw = np.random.default_rng(7)
    rows = [example(number) for number in range(60)]
    spec = CompareSpec(metrics=("exact_match",), bootstrap=400)
    worlds = 80

    def held(comparisons: int) -> int:
        count = 0
        for _ in range(worlds):
            said = [
                [row.reference if right else "no" for row, right in zip(rows, draw.random(60) < 0.5, strict=True)]
                for _ in range(5)
            ]
            found = [weigh(spec, rows, said[0], one, comparisons)["exact_match"] for one in said[1:]]
            count += all(one.low <= 0 <= one.high for one in found)
        return count

    # 95 % of 80 is 76; three standard deviations of such a count are 6. Plain intervals: about 0.95^4 at best
    assert held(4) >= 70
    assert held(1) < 76
