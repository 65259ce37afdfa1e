"""Learning rates against hand-calculated values."""

import pytest

from luthier.learn.schedule import rate_at


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine"])
def test_the_rate_rises_by_equal_parts_and_reaches_the_peak(shape: str) -> None:
    rates = [rate_at(step, 100, 8.0, 4, shape) for step in range(5)]
    assert rates == pytest.approx([2.0, 4.0, 6.0, 8.0, 8.0])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, 0.8535534, 0.5, 0.1464466]),  # (1 + cos(k pi / 4)) / 2
    ],
)
def test_after_warm_up_the_rate_follows_its_shape(shape: str, expected: list[float]) -> None:
    assert [rate_at(step, 4, 1.0, 0, shape) for step in range(4)] == pytest.approx(expected)


def test_a_run_of_nothing_but_warm_up_is_possible() -> None:
    assert [rate_at(step, 2, 1.0, 2, "cosine") for step in range(2)] == pytest.approx([0.5, 1.0])
