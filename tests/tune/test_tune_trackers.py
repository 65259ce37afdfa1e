"""Trackers: what is logged can be read back by the tracker's own reader; a missing package is told before the run."""

import sys
from pathlib import Path

import pytest

from luthier.errors import ToolError
from luthier.event import Chose, Event, Said, Step, hush
from luthier.tune.trackers import TRACKERS, Run, figures_of, tracked

STEP = Step(3, 9, 0.5, 1.25, 0.7, 1e-4, 900.0, 12.0, 1.5, 0, {"law": 1.0}, {"accuracy": 0.75})


def test_tensorboard_files_hold_every_figure_of_a_step(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event as Record
    from tensorboardX.record_writer import RecordWriter  # noqa: F401  the form: length, its checksum, data, checksum

    told: list[Event] = []
    with tracked(["tensorboard"], Run("adapter-1", tmp_path, {}), told.append) as tell:
        tell(STEP)
        tell(Said("not a step"))
    [path] = (tmp_path / "tensorboard").iterdir()
    data, place = path.read_bytes(), 0
    found: dict[str, tuple[float, int]] = {}
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        record = Record.FromString(data[place + 12 : place + 12 + length])
        found |= {value.tag: (value.simple_value, record.step) for value in record.summary.value}
        place += length + 16
    assert found["train/loss"] == (1.25, 3)
    assert found["dev/loss"] == (1.5, 3)
    assert found["task/law"] == (1.0, 3)
    assert found["accuracy"] == (0.75, 3)
    assert told[1:] == [STEP, Said("not a step")]
    assert isinstance(told[0], Chose)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_tracker_that_is_not_installed_is_told_before_the_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, TRACKERS[name].package, None)
    with (
        pytest.raises(ToolError, match=f"the tracker {name} needs") as caught,
        tracked([name], Run("adapter-1", tmp_path, {}), hush),
    ):
        pass
    assert caught.value.where == "key track"
    assert "luthier[track]" in caught.value.mend


def test_no_tracker_says_nothing(tmp_path: Path) -> None:
    told: list[Event] = []
    with tracked([], Run("adapter-1", tmp_path, {}), told.append) as tell:
        tell(STEP)
    assert told == [STEP]
    assert figures_of(STEP)["train/rate"] == 1e-4
