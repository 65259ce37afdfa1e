"""The picture of a run."""

from pathlib import Path

import pytest

from luthier.tune.curves import _smooth, draw

HISTORY = [{"step": n, "loss": 4.0 / n, "grad_norm": 1.0, "rate": 1e-3} for n in range(1, 30)]


def test_the_same_history_draws_the_same_bytes_and_another_others(tmp_path: Path) -> None:
    for name, history in (
        ("a", HISTORY),
        ("b", HISTORY),
        ("c", HISTORY[:-1]),
        ("d", [*HISTORY[:-1], {**HISTORY[-1], "dev_loss": 2.0}]),
    ):
        draw(history, tmp_path / f"{name}.png")
    a, b, c, d = ((tmp_path / f"{name}.png").read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_one_step_is_enough(tmp_path: Path) -> None:
    draw(HISTORY[:1], tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_the_smooth_line_of_a_constant_is_the_constant() -> None:
    assert _smooth([3.0] * 20) == pytest.approx([3.0] * 20)


def test_the_smooth_line_weighs_the_last_value_by_a_tenth() -> None:
    # corrected: (0.9 * 0.1 * 1 + 0.1 * 2) / (1 - 0.81)
    assert _smooth([1.0, 2.0]) == pytest.approx([1.0, 0.29 / 0.19])
