"""What we start ends with us, even where we are killed; and lives on where only the thread ends that started it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from luthier.engine import leash

SLEEPING = [sys.executable, "-c", "import time; time.sleep(60)"]


def lives(number: int) -> bool:
    """Whether a process runs; one that has ended and is not fetched yet does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(number: int, seconds: float = 10) -> bool:
    """Whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while lives(number) and time.monotonic() < end:
        time.sleep(0.02)
    return not lives(number)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux promises it")
def test_the_children_of_a_killed_parent_end_though_they_hear_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import signal, sys, time
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from luthier.engine import leash
            from luthier.engine.supervised import Supervised
            stuck = Supervised("fake_child", {{"open": "m"}}, name="m")
            stuck.start()
            print(stuck.process_number, leash.start({SLEEPING!r}, signal.SIGTERM).pid, flush=True)
            time.sleep(60)
            """
        )
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        assert parent.stdout is not None
        children = [int(number) for number in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(map(lives, children))
        os.kill(children[0], signal.SIGSTOP)  # it cannot see that its input has ended
        parent.kill()
    assert all(map(ends, children))


def test_it_lives_on_when_the_thread_that_started_it_ends() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(leash.start(SLEEPING, signal.SIGKILL)))
    thread.start()
    thread.join()
    [process] = started
    try:
        time.sleep(0.3)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_what_is_no_program_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is no program that can be run"):
        leash.start([str(tmp_path / "none")], signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals as Linux has them")
@pytest.mark.parametrize(
    ("heeds", "status"), [("", -signal.SIGTERM), ("signal.signal(signal.SIGTERM, signal.SIG_IGN); ", -signal.SIGKILL)]
)
def test_one_that_will_not_end_is_killed_after_its_time(heeds: str, status: int) -> None:
    script = f"import signal, time; {heeds}print(1, flush=True); time.sleep(60)"
    process = leash.start([sys.executable, "-c", script], signal.SIGKILL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"1\n"
        begun = time.monotonic()
        leash.stop(process, 0.5)
    assert process.returncode == status
    assert time.monotonic() - begun < 10
