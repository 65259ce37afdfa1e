"""Work in processes: its order, its errors, its deaths."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from luthier.errors import DataError, LuthierError, RoomError, ToolError
from luthier.pool import AHEAD, ordered


@dataclass(frozen=True)
class Squares:
    """A worker's work in this test: what to do with a number is in its name."""

    how: str = "square"

    def open(self) -> Callable[[int], object]:
        if self.how == "no tokenizer":
            raise DataError("no tokenizer", where="here", mend="fetch one")
        return self.work

    def work(self, number: int) -> object:
        if self.how == "uneven":
            time.sleep(0.02 if number % 5 == 0 else 0)
        if number == 3 and self.how == "bad":
            raise DataError("three", where="row 3", mend="leave it out")
        if number == 3 and self.how == "broken":
            raise ZeroDivisionError("by three")
        if number == 3 and self.how.startswith("signal"):
            os.kill(os.getpid(), int(self.how.split()[1]))
        return number * number if self.how != "process" else os.getpid()


def test_results_come_in_the_order_of_the_work_however_long_each_takes() -> None:
    assert list(ordered(Squares("uneven"), range(30), 2)) == [number * number for number in range(30)]


def test_no_work_gives_nothing() -> None:
    assert list(ordered(Squares(), [], 1)) == []


def test_several_processes_work_and_none_is_this_one() -> None:
    found = set(ordered(Squares("process"), range(40), 2))
    assert len(found) == 2
    assert os.getpid() not in found
    for child in found:
        assert not Path(f"/proc/{child}").exists(), "it is gone when the work is done"


def test_only_so_much_work_is_taken_ahead_of_what_is_given_out() -> None:
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    results = ordered(Squares(), tasks(), 1)
    next(results)
    assert taken <= AHEAD + 2
    results.close()


@pytest.mark.parametrize("how", ["no tokenizer", "bad"])
def test_an_error_of_ours_comes_through_whole(how: str) -> None:
    with pytest.raises(DataError) as caught:
        list(ordered(Squares(how), range(9), 2))
    assert (caught.value.what, caught.value.where, caught.value.mend) in {
        ("no tokenizer", "here", "fetch one"),
        ("three", "row 3", "leave it out"),
    }


def test_another_error_comes_with_its_own_trace() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by three"):
        list(ordered(Squares("broken"), range(9), 2))


@pytest.mark.parametrize(
    ("number", "kind", "what", "mend"),
    [
        (signal.SIGKILL, RoomError, "a worker process was killed: most likely memory ran out", "--processes 1"),
        (signal.SIGSEGV, ToolError, "a worker process ended by signal 11", "--processes 1"),
    ],
)
def test_a_worker_that_dies_is_an_error_that_says_so(
    number: int, kind: type[LuthierError], what: str, mend: str
) -> None:
    with pytest.raises(kind) as caught:
        list(ordered(Squares(f"signal {int(number)}"), range(9), 2))
    assert caught.value.what == what
    assert caught.value.where.startswith("process ")
    assert mend in caught.value.mend


def test_a_stopped_parent_leaves_no_worker(tmp_path: Path) -> None:
    """Ctrl-C ends parent and workers; the script has no `__main__` guard, as many have none."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_pool import Squares
            from luthier.pool import ordered
            for child in ordered(Squares("process"), range(10**9), 2):
                print(child, flush=True)
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = {int(parent.stdout.readline()) for _ in range(20)}
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=30)
    assert errors.count("KeyboardInterrupt") == 1, "the workers say nothing"
    assert children
    for child in children:
        assert not Path(f"/proc/{child}").exists()
