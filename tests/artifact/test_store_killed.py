"""Processes that are killed while they make, and processes that make the same: never half an artifact."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from luthier.artifact.order import Order
from luthier.artifact.store import Store
from luthier.errors import BusyError
from luthier.event import Event, Made, Skipped, hush

ORDER = Order("rows", "fetch", 1, {"number": 1})

BUILD = """
import os, sys, time
from pathlib import Path
from luthier.artifact.order import Order
from luthier.artifact.store import Store
from luthier.errors import BusyError
from luthier.event import hush

root = Path(sys.argv[1])

def build(out, work):
    with (root / "builds").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    for number in range(3):
        (out / f"part-{number}").write_bytes(bytes([number]) * 100_000)
        (work / "checkpoint").write_text(str(number))
        time.sleep(PAUSE)
    while (root / "hold").exists():
        time.sleep(0.01)
    return {"parts": 3}

def make():
    return Store(root / ".luthier").make(Order("rows", "fetch", 1, {"number": 1}), build, hush)
"""

KILL_BEFORE_CALL = """
import shutil, signal
left = int(sys.argv[2])

def deadly(function):
    def call(*arguments, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call

for name in ("fsync", "rename", "replace", "mkdir", "rmdir", "unlink"):
    setattr(os, name, deadly(getattr(os, name)))
for name in ("write_text", "write_bytes"):
    setattr(Path, name, deadly(getattr(Path, name)))
make()
"""

MAKE_OR_SAY_WHO = """
while not (root / "start").exists():
    time.sleep(0.001)
try:
    print(make().id)
except BusyError as error:
    print("busy", error.what)
"""


def child(script: str, pause_seconds: float, *arguments: object) -> subprocess.Popen[str]:
    text = BUILD.replace("PAUSE", str(pause_seconds)) + script
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.002)


def check_whole(store: Store) -> int:
    """Check every artifact there is. Gives their number."""
    cards = store.cards()
    for card in cards:
        found = store.find(card.id)
        store.verify(found)
        assert len(card.files) == 3
    return len(cards)


def make_at_last(root: Path, told: list[Event]) -> None:
    done = child("make()", 0, root)
    assert (*done.communicate(timeout=30), done.returncode) == ("", "", 0)
    store = Store(root / ".luthier")
    assert check_whole(store) == 1
    store.make(ORDER, lambda out, work: {}, told.append)
    assert [type(event) for event in told] == [Skipped]


def test_killed_before_any_call_that_touches_the_disk_it_leaves_nothing_broken(
    tmp_path: Path, told: list[Event]
) -> None:
    endings: list[int] = []
    for call in range(1, 100):
        root = tmp_path / str(call)
        root.mkdir()
        process = child(KILL_BEFORE_CALL, 0, root, call)
        output = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGKILL), output
        assert check_whole(Store(root / ".luthier")) <= 1
        endings.append(process.returncode)
        if process.returncode == 0:
            break
        if call % 4 == 1:
            told.clear()
            make_at_last(root, told)
    assert endings[-1] == 0
    assert len(endings) > 12


def test_killed_at_random_moments_again_and_again_it_is_made_in_the_end(tmp_path: Path, told: list[Event]) -> None:
    draw = random.Random(4)
    killed = 0
    for _ in range(10):
        process = child("make()", 0.03, tmp_path)
        time.sleep(draw.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        killed += process.returncode == -signal.SIGKILL
        assert check_whole(Store(tmp_path / ".luthier")) <= 1
    assert killed > 0
    make_at_last(tmp_path, told)


def test_of_two_processes_making_the_same_the_second_is_told_who_makes_it(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "hold").touch()
    process = child("make()", 0, tmp_path)
    try:
        wait_for(tmp_path / "builds", process)
        store = Store(tmp_path / ".luthier")
        with pytest.raises(BusyError) as caught:
            store.make(ORDER, lambda out, work: {}, hush)
        assert caught.value.what == f"process {process.pid} is making {ORDER.id} right now"
        assert caught.value.where == str(store.work / f"{ORDER.id}.lock")
        assert f"kill {process.pid}" in caught.value.mend
        other = store.make(Order("rows", "fetch", 1, {"number": 2}), lambda out, work: {}, told.append)
        assert other.exists
    finally:
        (tmp_path / "hold").unlink()
        process.communicate(timeout=30)
    store.make(ORDER, lambda out, work: {}, told.append)
    assert isinstance(told[1], Made)
    assert isinstance(told[2], Skipped)


def test_when_many_begin_at_once_exactly_one_builds(tmp_path: Path) -> None:
    processes = [child(MAKE_OR_SAY_WHO, 0.2, tmp_path) for _ in range(4)]
    (tmp_path / "start").touch()
    said = [process.communicate(timeout=30) for process in processes]
    assert [error for _, error in said if error] == []
    assert len((tmp_path / "builds").read_text(encoding="utf-8").split()) == 1
    assert any(words.strip() == ORDER.id for words, _ in said)
    assert all(words.strip() == ORDER.id or words.startswith("busy") for words, _ in said)
    assert check_whole(Store(tmp_path / ".luthier")) == 1


def test_the_lock_of_a_killed_process_holds_nobody(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "hold").touch()
    process = child("make()", 0, tmp_path)
    wait_for(tmp_path / "builds", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    (tmp_path / "hold").unlink()
    store = Store(tmp_path / ".luthier")
    assert store.cards() == []
    assert (store.work / ORDER.id).exists()
    make_at_last(tmp_path, told)
