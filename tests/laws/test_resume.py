"""A run that is stopped and goes on gives, bit for bit, what a straight run gives."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import Stopped, StoreError
from luthier.event import Chose, Event, Step, hush
from luthier.learn import stop
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

CONTENT = ("adapter_model.safetensors", "adapter_config.json", "history.jsonl", "curves.png")


@pytest.fixture(scope="module")
def straight(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    return tune(short_run, tiny_model, tiny_data, Store(tmp_path_factory.mktemp("straight")), hush)


def _assert_same(found: Artifact, straight: Artifact) -> None:
    assert found.id == straight.id
    for name in CONTENT:
        assert (found.folder / name).read_bytes() == (straight.folder / name).read_bytes(), name


@pytest.mark.parametrize("at", [6, 11])  # at a checkpoint; in the second epoch, between two
def test_ctrl_c_saves_and_the_same_command_goes_on(
    at: int, short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, straight: Artifact, store: Store
) -> None:
    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == at:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match=f"stopped after step {at} of") as caught:
        tune(short_run, tiny_model, tiny_data, store, press)
    assert "run the same command again" in caught.value.mend
    assert Path(caught.value.where).is_dir()
    assert not list(store.artifacts.glob("*"))
    told: list[Event] = []
    _assert_same(tune(short_run, tiny_model, tiny_data, store, told.append, start="checkpoint"), straight)
    steps = [event.step for event in told if isinstance(event, Step)]
    assert steps[0] == at + 1
    assert any(isinstance(event, Chose) and event.value == f"step {at + 1}" for event in told)


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(
    short_run: TuneSpec,
    tiny_model: Artifact,
    tiny_data: Artifact,
    straight: Artifact,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(history: object, path: Path) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr("luthier.tune.train.draw", die)
    with pytest.raises(RuntimeError):
        tune(short_run, tiny_model, tiny_data, store, hush)
    monkeypatch.undo()
    last = sorted(store.work.glob("*/checkpoints/step-*"))[-1]
    weights = last / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    told: list[Event] = []
    _assert_same(tune(short_run, tiny_model, tiny_data, store, told.append), straight)
    assert any(f"{last.name} is damaged" in getattr(event, "what", "") for event in told)


def test_resume_without_a_checkpoint_is_refused(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    with pytest.raises(StoreError, match="no checkpoint") as caught:
        tune(short_run, tiny_model, tiny_data, store, hush, start="checkpoint")
    assert "leave out --resume" in caught.value.mend


@pytest.mark.slow
def test_a_second_signal_stops_at_once() -> None:
    program = (
        "import os, signal\nfrom luthier.learn.stop import stoppable\n"
        "with stoppable() as asked:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print(len(asked), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('not reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n"
    assert "KeyboardInterrupt" in done.stderr


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def look() -> None:
        before = signal.getsignal(signal.SIGINT)
        with stop.stoppable() as asked:
            seen.extend([asked, signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [[], True]
