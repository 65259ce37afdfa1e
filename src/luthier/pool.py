"""Processes that do batches of work, and give the results in the order of the work.

They are children of our own rather than of `multiprocessing`: a caller's script needs no `__main__` guard, a child
that is killed is known by name, and Ctrl-C reaches the parent alone, which ends them all at once.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from luthier.errors import LuthierError, RoomError, ToolError

AHEAD = 4
"""Batches that may be under way for each worker, where nothing else is said: results wait in memory for their turn."""
CHILD = "import sys; sys.modules['torch'] = None; from luthier.pool import serve; serve(int(sys.argv[1]))"
"""A worker has no torch: a tokenizer needs none, but transformers loads all of it where it finds it (6 s, 270 MB)."""


class Setup(Protocol):
    """What a worker is given first. Picklable."""

    def open(self) -> Callable[[Any], Any]:
        """Load what is needed, once in each worker; gives what does a batch."""
        ...


@dataclass(frozen=True)
class Worker:
    """A child and the line to it."""

    child: "subprocess.Popen[bytes]"
    line: "Connection[Any, Any]"

    def send(self, work: bytes) -> None:
        """Hand over pickled work. The worker waits for it, so this never blocks for long."""
        with suppress(BrokenPipeError, ConnectionResetError):  # a dead worker is found when its result is due
            self.line.send_bytes(work)

    def end(self) -> None:
        """End it at once, whatever it does."""
        self.child.kill()
        self.child.wait()
        self.line.close()


def ordered(setup: Setup, tasks: Iterable[Any], processes: int, ahead: int = AHEAD) -> Generator[Any, None, None]:
    """Do tasks in so many processes; gives `setup.open()(task)` of each, in the tasks' order.

    `ahead` of them may be under way for each process.

    Raises what a task raises if it is a LuthierError, RoomError for a worker that was killed. However it ends, no
    worker is left.
    """
    workers: list[Worker] = []
    try:
        workers += [_start(setup) for _ in range(processes)]
        yield from _deal(workers, iter(tasks), ahead)
    finally:
        for worker in workers:
            worker.end()


def _start(setup: Setup) -> Worker:
    ours, theirs = Pipe()
    # The parent's cores are shared out among workers already: a tokenizer's own threads would only stand in the way.
    own = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"}
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **own, "PYTHONPATH": os.pathsep.join(sys.path)},
            process_group=0,  # Ctrl-C is for the parent
        )
    worker = Worker(child, ours)
    worker.send(pickle.dumps(setup))
    return worker


def _deal(workers: list[Worker], tasks: Iterator[Any], ahead: int) -> Iterator[Any]:
    idle = list(workers)
    busy: dict[Any, tuple[Worker, int]] = {}
    early: dict[int, Any] = {}
    sent = given = 0
    upcoming = _next(tasks)
    while isinstance(upcoming, bytes) or busy:
        while idle and isinstance(upcoming, bytes) and sent - given < ahead * len(workers):
            worker = idle.pop()
            worker.send(upcoming)
            busy[worker.line] = (worker, sent)
            sent += 1
            upcoming = _next(tasks)
        for line in wait(list(busy)):
            worker, number = busy.pop(line)
            early[number] = _result(worker)
            idle.append(worker)
        while given in early:
            yield early.pop(given)
            given += 1
    if upcoming is not None:
        raise upcoming


def _next(tasks: Iterator[Any]) -> bytes | LuthierError | None:
    """Give the next task, pickled while the workers still work on those before it.

    An error of making it is put off until they are done: theirs came first.
    """
    try:
        for task in tasks:
            return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    except LuthierError as error:
        return error
    return None


def _result(worker: Worker) -> Any:
    try:
        is_done, result = worker.line.recv()
    except (EOFError, ConnectionResetError):
        raise _death(worker.child) from None
    if is_done:
        return result
    kind, what, where, mend = result
    if kind is None:
        raise RuntimeError(f"a worker process failed:\n{what}")
    raise kind(what, where=where, mend=mend)


def _death(child: "subprocess.Popen[bytes]") -> LuthierError:
    code = child.wait()
    if code == -signal.SIGKILL:
        return RoomError(
            "a worker process was killed: most likely memory ran out",
            where=f"process {child.pid}",
            mend="give fewer of them (--processes 1), or free memory; then run the same command again",
        )
    how = f"by signal {-code}" if code < 0 else f"with status {code}"
    return ToolError(
        f"a worker process ended {how}",
        where=f"process {child.pid}",
        mend="run it again with --processes 1: the error then shows where it comes from",
    )


def serve(handle: int) -> None:
    """Be a worker: the line's file number is on the command line. Ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as line, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work = _answered(line, lambda: line.recv().open())
        while work is not None:
            task = line.recv()
            done = _answered(line, partial(_done, work, task))
            if done is None:
                return
            line.send((True, done[0]))


def _done(work: Callable[[Any], Any], task: Any) -> tuple[Any]:
    return (work(task),)


def _answered(line: "Connection[Any, Any]", call: Callable[[], Any]) -> Any:
    """Give what a call gives; None after an error, which the parent is told."""
    try:
        return call()
    except EOFError:
        raise
    except LuthierError as error:
        line.send((False, (type(error), error.what, error.where, error.mend)))
    except Exception:
        line.send((False, (None, traceback.format_exc(), "", "")))
    return None
