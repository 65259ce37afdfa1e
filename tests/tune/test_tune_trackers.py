"""Trackers: what is logged can be read back by the tracker's own reader; a missing package is told before the run."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from luthier.errors import ToolError
from luthier.event import Chose, Event, Said, Step, Warned, hush
from luthier.tune.trackers import TRACKERS, Log, Run, Tracker, figures_of, tracked

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


def _fake(monkeypatch: pytest.MonkeyPatch, open_it: Callable[[Run, ExitStack], Log]) -> None:
    monkeypatch.setitem(TRACKERS, "fake", Tracker("fake", open_it, "nowhere", "log in"))


def test_a_tracker_that_cannot_be_opened_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: Run, stack: ExitStack) -> Log:
        raise RuntimeError("\nno key is configured\nread on at ...")

    _fake(monkeypatch, refuse)
    with (
        pytest.raises(ToolError, match="the tracker fake cannot be opened: no key is configured\n") as caught,
        tracked(["fake"], Run("adapter-1", tmp_path, {}), hush),
    ):
        pass
    assert (caught.value.where, caught.value.mend) == ("key track", "log in, or leave fake out of track")


def test_one_that_fails_later_is_told_once_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def open_it(run: Run, stack: ExitStack) -> Log:
        stack.callback(lambda: 1 / 0)

        def log(figures: object, step: int) -> None:
            calls.append(step)
            raise ConnectionError("the server is gone")

        return log

    _fake(monkeypatch, open_it)
    told: list[Event] = []
    with tracked(["fake"], Run("adapter-1", tmp_path, {}), told.append) as tell:
        tell(STEP)
        tell(STEP)
    assert calls == [3]
    warned = [event.what for event in told if isinstance(event, Warned)]
    assert warned == ["the tracker fake failed: the server is gone", "the tracker fake failed: division by zero"]
    assert told.count(STEP) == 2


def test_what_trackers_print_stays_out_of_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def open_it(run: Run, stack: ExitStack) -> Log:
        print("opened")
        stack.callback(print, "closed")
        return lambda figures, step: print("logged")

    _fake(monkeypatch, open_it)
    with tracked(["fake"], Run("adapter-1", tmp_path, {}), hush) as tell:
        tell(STEP)
    assert capsys.readouterr() == ("", "opened\nlogged\nclosed\n")


@pytest.mark.filterwarnings("ignore")  # their own, of every kind
def test_mlflow_gives_back_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'luthier[track]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with tracked(["mlflow"], Run("adapter-1", tmp_path, {"seed": 3}), hush) as tell:
        tell(STEP)
    [run] = mlflow.search_runs(output_format="list")
    assert (run.info.status, run.data.params["seed"], run.data.metrics["train/loss"]) == ("FINISHED", "3", 1.25)


@pytest.mark.filterwarnings("ignore")
def test_trackio_gives_back_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    pytest.importorskip("trackio", reason="pip install 'luthier[track]'")
    from trackio.sqlite_storage import SQLiteStorage

    with tracked(["trackio"], Run("adapter-1", tmp_path, {}), hush) as tell:
        tell(STEP)
    [line] = SQLiteStorage.get_logs("luthier", "adapter-1")
    assert (line["train/loss"], line["dev/loss"], line["step"]) == (1.25, 1.5, 3)


def test_no_tracker_says_nothing(tmp_path: Path) -> None:
    told: list[Event] = []
    with tracked([], Run("adapter-1", tmp_path, {}), told.append) as tell:
        tell(STEP)
    assert told == [STEP]
    assert figures_of(STEP)["train/rate"] == 1e-4
