"""Checkpoints: whole or absent, checked, and back bit for bit."""

import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.errors import RoomError
from luthier.event import Event, Warned, hush
from luthier.learn import checkpoint
from luthier.learn.optimizer import OPTIMIZERS, Optimizers, open_optimizers


def _trained(steps: int, kind: str = "adamw") -> tuple[dict[str, nn.Parameter], Optimizers]:
    torch.manual_seed(0)
    named = {"a.weight": nn.Parameter(torch.randn(96, 80)), "b.weight": nn.Parameter(torch.randn(4))}
    optimizers = open_optimizers(kind, named, decay=0.01)
    _steps(named, optimizers, steps)
    return named, optimizers


def _steps(named: dict[str, nn.Parameter], optimizers: Optimizers, steps: int) -> None:
    for _ in range(steps):
        for parameter in named.values():
            parameter.grad = torch.randn_like(parameter)
        optimizers.step(0.1)
        optimizers.forget()


def _write(folder: Path, step: int, steps: int = 3) -> Path:
    named, optimizer = _trained(steps)

    def save(place: Path) -> None:
        (place / "weights").write_bytes(b"w" * 100)

    return checkpoint.write(folder, step, save, optimizer, named, {"threads": 2})


@pytest.mark.parametrize("kind", [kind for kind, row in OPTIMIZERS.items() if not row.devices])
def test_a_run_goes_on_bit_for_bit_with_every_optimizer(kind: str, tmp_path: Path) -> None:
    named, optimizers = _trained(3, kind)

    def save(place: Path) -> None:
        torch.save({name: parameter.data for name, parameter in named.items()}, place / "weights")

    checkpoint.write(tmp_path, 3, save, optimizers, named, {})
    torch.manual_seed(1)
    _steps(named, optimizers, 3)
    found = checkpoint.newest(tmp_path, hush)
    assert found is not None
    assert found.step == 3
    others, fresh = _trained(0, kind)
    for name, tensor in torch.load(found.folder / "weights").items():
        others[name].data.copy_(tensor)
    checkpoint.restore(found, fresh, others)
    torch.manual_seed(1)
    _steps(others, fresh, 3)
    for name, parameter in named.items():
        assert torch.equal(parameter, others[name])
        before, after = optimizers.state_of(parameter), fresh.state_of(others[name])
        assert set(before) == set(after)
        assert before


def test_what_the_caller_notes_is_in_the_state(tmp_path: Path) -> None:
    _write(tmp_path, 5)
    found = checkpoint.newest(tmp_path, hush)
    assert found is not None
    assert found.state["threads"] == 2


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "no state", "state cut off"])
def test_a_damaged_checkpoint_is_told_and_an_older_one_taken(damage: str, tmp_path: Path) -> None:
    _write(tmp_path, 2)
    last = _write(tmp_path, 4)
    weights, state = last / "weights", last / "state.json"
    if damage == "truncate":
        weights.write_bytes(b"w" * 99)
    elif damage == "flip":
        weights.write_bytes(b"w" * 99 + b"x")
    elif damage == "remove":
        weights.unlink()
    elif damage == "no state":
        state.unlink()
    else:
        state.write_bytes(state.read_bytes()[:20])
    told: list[Event] = []
    found = checkpoint.newest(tmp_path, told.append)
    assert found is not None
    assert found.step == 2
    [warning] = told
    assert isinstance(warning, Warned)
    assert "step-000004 is damaged" in warning.what


def test_an_interrupted_write_is_no_checkpoint(tmp_path: Path) -> None:
    named, optimizer = _trained(1)

    def die(place: Path) -> None:
        (place / "weights").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(tmp_path, 1, die, optimizer, named, {})
    assert checkpoint.newest(tmp_path, hush) is None
    assert list(tmp_path.iterdir()) == []
    _write(tmp_path, 1)  # and what it left is no obstacle
    assert checkpoint.newest(tmp_path, hush) is not None


def test_a_disk_that_fills_leaves_the_older_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    _write(tmp_path, 2)
    named, optimizer = _trained(1)

    def fill(place: Path) -> None:
        (place / "weights").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RoomError, match="the disk is full") as caught:
        checkpoint.write(tmp_path, 4, fill, optimizer, named, {})
    assert caught.value.where == str(tmp_path / "step-000004")
    assert "luthier remove" in caught.value.mend
    with pytest.raises(RoomError):
        checkpoint.write_weights(tmp_path / "best", 4, fill)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        _write(tmp_path, step)
    checkpoint.rotate(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000015"]
