"""Checkpoints: whole or absent, checked, and back bit for bit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.event import Event, Warned, hush
from luthier.learn import checkpoint


def _trained(steps: int) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    torch.manual_seed(0)
    named = {"a.weight": nn.Parameter(torch.randn(3, 2)), "b.weight": nn.Parameter(torch.randn(4))}
    optimizer = torch.optim.AdamW(named.values(), lr=0.1)
    for _ in range(steps):
        for parameter in named.values():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return named, optimizer


def _write(folder: Path, step: int, steps: int = 3) -> Path:
    named, optimizer = _trained(steps)

    def save(place: Path) -> None:
        (place / "weights").write_bytes(b"w" * 100)

    return checkpoint.write(folder, step, save, optimizer, named, {"threads": 2})


def test_optimizer_and_random_state_come_back_bit_for_bit(tmp_path: Path) -> None:
    named, optimizer = _trained(3)
    checkpoint.write(tmp_path, 3, lambda place: None, optimizer, named, {})
    expected = torch.rand(5)
    found = checkpoint.newest(tmp_path, hush)
    assert found is not None
    assert found.step == 3
    others, fresh = _trained(0)
    checkpoint.restore(found, fresh, others)
    assert torch.equal(torch.rand(5), expected)
    for name, parameter in named.items():
        before, after = optimizer.state[parameter], fresh.state[others[name]]
        assert set(before) == set(after) == {"step", "exp_avg", "exp_avg_sq"}
        for key, value in before.items():
            assert torch.equal(value, after[key])


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
    _write(tmp_path, 1)  # and what it left is no obstacle
    assert checkpoint.newest(tmp_path, hush) is not None


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        _write(tmp_path, step)
    checkpoint.rotate(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000015"]
