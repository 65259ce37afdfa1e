"""The loop on a problem whose gradient is known by hand: the mean of numbers, learned by one weight."""

import errno
import math
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from luthier.errors import DataError, RoomError, Stopped
from luthier.event import Chose, Event, Step, hush
from luthier.learn import checkpoint
from luthier.learn.ledger import Ledger
from luthier.learn.loop import Course, Settings, learn
from luthier.learn.objective import Objective

SETTINGS = Settings(
    rate=0.1,
    schedule="constant",
    warmup_share=0.0,
    epochs=1,
    rows_per_step=2,
    weight_decay=0.0,
    clip_norm=1e9,
    seed=0,
    dev_every_steps=2,
    save_every_steps=100,
    keep_checkpoints=2,
)


@dataclass
class Squares:
    """Half the squared distance of a weight to each row: its gradient is the weight minus the mean of the rows."""

    weight_: nn.Parameter
    rows_per_pass: int = 1000
    seen: list[float] | None = None

    def passes(self, rows: Sequence[float]) -> Iterator[Sequence[float]]:
        for begin in range(0, len(rows), self.rows_per_pass):
            yield rows[begin : begin + self.rows_per_pass]

    def weight(self, rows: Sequence[float]) -> int:
        return sum(not math.isinf(row) for row in rows)

    def tokens(self, rows: Sequence[float]) -> int:
        return len(rows)

    def loss(self, rows: Sequence[float]) -> Tensor:
        return self.losses(rows).sum()

    def losses(self, rows: Sequence[float]) -> Tensor:
        if self.seen is not None:
            self.seen.extend(rows)
        return (self.weight_ - torch.tensor(list(rows))).square() / 2


def _course(work: Path, rows: Sequence[float], dev: Sequence[float] = (), rows_per_pass: int = 1000) -> Course[float]:
    weight = nn.Parameter(torch.zeros(()))
    objective: Objective[float] = Squares(weight, rows_per_pass, [])

    def save(folder: Path) -> None:
        (folder / "weight.txt").write_text(repr(weight.item()))

    def load(folder: Path) -> None:
        weight.data.fill_(float((folder / "weight.txt").read_text()))

    return Course(objective, rows, dev, {"weight": weight}, save, load, work, {})


def _seen(course: Course[float]) -> list[float]:
    objective = course.objective
    assert isinstance(objective, Squares)
    assert objective.seen is not None
    return objective.seen


def test_the_gradient_is_that_of_the_mean_however_the_rows_are_cut(tmp_path: Path) -> None:
    rows = [1.0, 2.0, 3.0, 6.0]
    for rows_per_pass in (1, 3, 4):
        course = _course(tmp_path / str(rows_per_pass), rows, rows_per_pass=rows_per_pass)
        [line] = learn(course, replace(SETTINGS, rows_per_step=4), hush)
        assert line["grad_norm"] == pytest.approx(3.0)  # |0 - mean|
        assert line["loss"] == pytest.approx((1 + 4 + 9 + 36) / 2 / 4)


def test_each_epoch_sees_each_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    rows = [float(row) for row in range(11)]
    course = _course(tmp_path, rows)
    history = learn(course, replace(SETTINGS, epochs=2), hush)
    assert len(history) == 12  # 6 steps an epoch, the last of each with one row
    first, second = _seen(course)[:11], _seen(course)[11:]
    assert sorted(first) == sorted(second) == rows
    assert first != second
    again = _course(tmp_path / "again", rows)
    learn(again, replace(SETTINGS, epochs=2), hush)
    assert _seen(again) == first + second
    other = _course(tmp_path / "other", rows)
    learn(other, replace(SETTINGS, epochs=2, seed=1), hush)
    assert _seen(other) != first + second


def test_part_of_an_epoch_is_a_part_of_its_steps(tmp_path: Path) -> None:
    history = learn(_course(tmp_path, [0.0] * 20), replace(SETTINGS, epochs=0.5), hush)
    assert [line["epoch"] for line in history] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_long_gradient_is_cut_to_the_norm_and_its_own_norm_told(tmp_path: Path) -> None:
    told: list[Event] = []
    learn(_course(tmp_path, [100.0, 100.0]), replace(SETTINGS, clip_norm=1.0), told.append)
    [step] = [event for event in told if isinstance(event, Step)]
    assert step.grad_norm == pytest.approx(100.0)


def test_dev_loss_is_told_when_due_and_at_the_end_and_changes_nothing(tmp_path: Path) -> None:
    rows = [float(row) for row in range(10)]
    with_dev = learn(_course(tmp_path / "with", rows, dev=[5.0]), SETTINGS, hush)
    without = learn(_course(tmp_path / "without", rows), SETTINGS, hush)
    assert [line["step"] for line in with_dev if "dev_loss" in line] == [2, 4, 5]
    assert [line["loss"] for line in with_dev] == [line["loss"] for line in without]


def test_a_loss_that_is_no_number_stops_the_run_with_a_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the loss is nan") as caught:
        learn(_course(tmp_path, [1.0, math.nan]), SETTINGS, hush)
    assert caught.value.where in ("step 1, 2 rows: row 1, row 2", "step 1, 2 rows: row 2, row 1")
    assert "lower learn.rate" in caught.value.mend


def test_a_step_with_nothing_to_learn_stops_the_run_with_a_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 2 rows") as caught:
        learn(_course(tmp_path, [math.inf, math.inf]), SETTINGS, hush)
    assert caught.value.where == "step 1"
    assert "luthier prepare --look" in caught.value.mend


def test_old_checkpoints_go_and_the_newest_stay(tmp_path: Path) -> None:
    rows = [float(row) for row in range(20)]
    learn(_course(tmp_path, rows), replace(SETTINGS, save_every_steps=2), hush)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-000006", "step-000008"]  # of 10 steps; the end needs none


def test_a_full_disk_while_saving_is_told_and_the_older_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [float(row) for row in range(20)]
    settings = replace(SETTINGS, save_every_steps=2)
    whole = _course(tmp_path / "whole", rows)
    expected = learn(whole, settings, hush)
    calls: list[Path] = []
    original = save_file

    def fill(tensors: dict[str, Tensor], path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", fill)
    with pytest.raises(RoomError) as caught:
        learn(_course(tmp_path / "full", rows), settings, hush)
    assert "free some room" in caught.value.mend
    monkeypatch.undo()
    told: list[Event] = []
    again = learn(_course(tmp_path / "full", rows), settings, told.append)
    assert again == expected
    assert next(event.step for event in told if isinstance(event, Step)) == 3


def test_sigterm_saves_and_stops(tmp_path: Path) -> None:
    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped) as caught:
        learn(_course(tmp_path, [0.0] * 20), SETTINGS, press)
    assert caught.value.where == str(tmp_path)
    assert (tmp_path / "checkpoints" / "step-000003" / "state.json").exists()


def test_the_best_weights_come_out_where_asked(tmp_path: Path) -> None:
    # the weight walks from 0 towards 10 at 0.1 a step and is nearest to the dev row 0.5 after 5 steps
    rows = [10.0] * 40
    settings = replace(SETTINGS, dev_every_steps=1, keep_best=True)
    course = _course(tmp_path / "best", rows, dev=[0.5])
    history = learn(course, settings, hush)
    losses = [line["dev_loss"] for line in history]
    assert losses.index(min(losses)) == 4
    assert course.named["weight"].item() == pytest.approx(0.5, abs=0.02)
    last = _course(tmp_path / "last", rows, dev=[0.5])
    learn(last, replace(settings, keep_best=False), hush)
    assert last.named["weight"].item() > 1.5


def test_a_run_whose_dev_loss_gets_no_better_stops_early_and_says_so(tmp_path: Path) -> None:
    told: list[Event] = []
    settings = replace(SETTINGS, dev_every_steps=1, stop_after_worse=3)
    history = learn(_course(tmp_path, [10.0] * 40, dev=[0.5]), settings, told.append)
    assert len(history) == 8  # the best at step 5, then three that are worse
    assert any(isinstance(event, Chose) and event.value == "step 8 of 20" for event in told)


def test_the_callers_figures_stand_in_the_first_line_and_with_each_dev_loss(tmp_path: Path) -> None:
    course = replace(_course(tmp_path, [1.0] * 10, dev=[1.0]), look=lambda: {"general_loss": 2.0})
    history = learn(course, SETTINGS, hush)
    assert [line["step"] for line in history if "general_loss" in line] == [1, 2, 4, 5]


def test_the_ledger_notes_every_row_and_tags_have_losses_of_their_own(tmp_path: Path) -> None:
    ledger = Ledger()
    course = replace(
        _course(tmp_path, [1.0, 2.0, 3.0, 4.0], rows_per_pass=3),
        ledger=ledger,
        tag=lambda place: "low" if place < 2 else "high",
        tags=frozenset({"low", "high"}),
    )
    [line] = learn(course, replace(SETTINGS, rows_per_step=4), hush)
    assert line["loss of low"] == pytest.approx((1 + 4) / 2 / 2)
    assert line["loss of high"] == pytest.approx((9 + 16) / 2 / 2)
    assert {row: seen[0].loss for row, seen in ledger.seen.items()} == pytest.approx({0: 0.5, 1: 2.0, 2: 4.5, 3: 8.0})


def test_a_resumed_ledger_is_a_straight_one(tmp_path: Path) -> None:
    rows = [float(row) for row in range(20)]
    settings = replace(SETTINGS, save_every_steps=2)
    straight, halves = Ledger(), Ledger()
    learn(replace(_course(tmp_path / "straight", rows), ledger=straight), settings, hush)

    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        learn(replace(_course(tmp_path / "halves", rows), ledger=Ledger()), settings, press)
    learn(replace(_course(tmp_path / "halves", rows), ledger=halves), settings, hush)
    assert halves.seen == straight.seen
