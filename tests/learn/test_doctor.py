"""The doctor: each rule sees what it should on a hand-made history, and nothing on a healthy one."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from luthier.event import Event, Warned
from luthier.learn.doctor import RULES, Doctor

STEPS = 100


def _line(step: int, **changed: float) -> dict[str, float]:
    falling = 2.0 * math.exp(-step / 60) + 0.8
    return {"step": step, "epoch": step / STEPS, "loss": falling, "grad_norm": 0.5, "rate": 1e-4, **changed}


def _told(history: list[dict[str, float]]) -> list[Warned]:
    told: list[Event] = []
    doctor = Doctor(STEPS, told.append)
    for count in range(1, len(history) + 1):
        doctor.look(history[:count])
    return [event for event in told if isinstance(event, Warned)]


SICK: dict[str, tuple[Callable[[int], dict[str, Any]], str, str]] = {
    "exploding": (lambda step: {"grad_norm": 40.0 if step > 60 else 0.5}, "explode: their norm is 40", "learn.rate"),
    "vanishing": (lambda step: {"grad_norm": 0.5 if step < 40 else 1e-5}, "vanish", "float32"),
    "not moving": (lambda step: {"loss": 2.5}, "does not move: 2.5", "raise learn.rate"),
    "diverging": (lambda step: {"loss": 1.0 if step < 50 else 1.0 + (step - 50) * 0.05}, "the loss rises", "anew"),
    "overfitting": (
        lambda step: {"dev_loss": 1.5 + abs(step - 40) * 0.01} if step % 10 == 0 else {},
        "overfits: the dev loss rose from 1.5 (step 40) to 1.7",
        "adapter.r",
    ),
    "memorising": (lambda step: {"loss": max(0.01, 2.0 - step * 0.04)}, "by heart", "learn.epochs"),
    "forgetting": (
        lambda step: {"general_loss": 2.0 + (0.2 if step > 10 else 0.0)} if step % 10 == 1 else {},
        "general questions rose from 2 (the base) to 2.2",
        "mix general rows",
    ),
}


def test_every_rule_has_its_sick_run() -> None:
    assert set(SICK) == set(RULES)


@pytest.mark.parametrize("name", sorted(SICK))
def test_each_sickness_is_told_once_with_its_numbers_and_a_mend(name: str) -> None:
    change, what, mend = SICK[name]
    found = [event for event in _told([_line(step, **change(step)) for step in range(1, STEPS)]) if what in event.what]
    assert len(found) == 1
    assert found[0].what.startswith("step ")
    assert mend in found[0].mend


def test_a_healthy_run_is_left_alone() -> None:
    dev = {step: 2.0 * math.exp(-step / 60) + 0.9 for step in range(10, STEPS, 10)}
    healthy = [_line(step, **({"dev_loss": dev[step]} if step in dev else {})) for step in range(1, STEPS)]
    assert _told(healthy) == []
