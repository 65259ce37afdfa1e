"""Workers of a run, as processes of this machine: started, listened to, stopped together, and none left behind.

The parent loads no torch: it holds the store's lock, tells what the first worker tells, and publishes. A worker's
output is its events, one JSON a line, and at last its figures or its error; its input is the parent's life.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from luthier import errors
from luthier.errors import LuthierError, Stopped, ToolError
from luthier.event import Chose, Tell, from_json
from luthier.learn.stop import stoppable
from luthier.tune.job import Job

GRACE_SECONDS = 3.0
"""How long the others may say what they saw, once one has ended badly."""
STOP_SECONDS = 600.0
"""How long workers may take to save after a wish to stop: as long as they wait for each other's checkpoint."""

Started = Callable[[Sequence[int]], None]
"""Is given the workers' process ids."""


def run_workers(job: Job, count: int, tell: Tell, started: Started | None = None) -> Mapping[str, Any]:
    """Run a job in `count` processes. Gives the figures of its card.

    Raises the error that workers end with; ToolError if one is killed, after the others were ended too.
    """
    work = Path(job.work)
    work.mkdir(parents=True, exist_ok=True)
    meeting = work / f"meeting-{os.getpid()}-{time.monotonic_ns()}"
    environment = _environment(count, tell)
    crew = Crew(job, count, meeting, environment)
    try:
        if started is not None:
            started([child.pid for child in crew.children])
        return crew.listen(tell)
    finally:
        crew.end()
        meeting.unlink(missing_ok=True)


def _environment(count: int, tell: Tell) -> dict[str, str]:
    """Share the cores among workers, and let them meet on this machine only."""
    added = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    if count > 1:
        threads = max(1, (os.cpu_count() or 1) // count)
        added["OMP_NUM_THREADS"] = str(threads)
        if "OMP_NUM_THREADS" not in os.environ:
            tell(Chose("threads", f"{threads} in each process", f"{os.cpu_count()} cores for {count} processes"))
    return {**added, **os.environ}


class Crew:
    """The workers of one run."""

    def __init__(self, job: Job, count: int, meeting: Path, environment: Mapping[str, str]) -> None:
        self.inbox: queue.Queue[tuple[int, str | None]] = queue.Queue()
        self.children = [
            subprocess.Popen(
                [sys.executable, "-m", "luthier.tune.worker", str(rank), str(count), str(meeting.absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which passes it on once
            )
            for rank in range(count)
        ]
        self.figures: Mapping[str, Any] = {}
        self.said: dict[int, Mapping[str, str]] = {}
        """Rank -> the error a worker ended with."""
        for rank, child in enumerate(self.children):
            threading.Thread(target=self._read, args=(rank, child), daemon=True).start()
            try:
                assert child.stdin is not None
                child.stdin.write(job.to_json() + "\n")  # it stays open: its end tells a worker that we are gone
                child.stdin.flush()
            except BrokenPipeError:  # it is gone already: seen below
                pass

    def _read(self, rank: int, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                self.inbox.put((rank, line))
        child.wait()
        self.inbox.put((rank, None))

    def listen(self, tell: Tell) -> Mapping[str, Any]:
        """Hand on events until all workers have ended; pass a wish to stop on to them."""
        running = set(range(len(self.children)))
        deadline: float | None = None
        with stoppable() as asked:
            passed_on = False
            while running and (deadline is None or time.monotonic() < deadline):
                if asked and not passed_on:
                    passed_on, deadline = True, time.monotonic() + STOP_SECONDS
                    self.signal(signal.SIGINT)
                rank, line = self._next()
                if line is not None:
                    self._take(rank, line, tell)
                elif rank >= 0:
                    running.discard(rank)
                    if self.children[rank].returncode != 0:
                        deadline = min(deadline or float("inf"), time.monotonic() + GRACE_SECONDS)
        codes = [child.poll() for child in self.children]
        if any(code != 0 for code in codes):
            raise self._error(codes, bool(asked))
        return self.figures

    def _next(self) -> tuple[int, str | None]:
        try:
            return self.inbox.get(timeout=0.2)
        except queue.Empty:
            return -1, None

    def _take(self, rank: int, line: str, tell: Tell) -> None:
        message = json.loads(line)
        if "event" in message:
            tell(from_json(line))
        elif "error" in message:
            self.said[rank] = message["error"]
        else:
            self.figures = message["figures"]

    def _error(self, codes: Sequence[int | None], asked: bool) -> LuthierError:
        """The cause, not what followed from it: a killed worker first, then what workers say, the lost ones last."""
        count = len(self.children)
        for rank, code in enumerate(codes):
            if code is not None and code < 0:
                name = signal.Signals(-code).name
                return ToolError(
                    f"process {rank + 1} of {count} was killed ({name}); the others were ended",
                    where=f"process id {self.children[rank].pid}",
                    mend="if memory ran out, lower learn.tokens_per_pass or take fewer processes; the same command "
                    "goes on from the newest checkpoint",
                )
        said = sorted(self.said.items(), key=lambda pair: (pair[1]["kind"] == "lost", pair[0]))
        if said:
            found = said[0][1]
            kind: type[LuthierError] = getattr(errors, found["kind"], ToolError)
            return kind(found["what"], where=found["where"], mend=found["mend"])
        if asked:
            return Stopped(
                "stopped before a step was done",
                where=f"{count} processes",
                mend="run the same command again: it goes on from the newest checkpoint, if there is one",
            )
        rank = next(rank for rank, code in enumerate(codes) if code != 0)
        return ToolError(
            f"process {rank + 1} of {count} ended with status {codes[rank]} and said nothing",
            where=f"process id {self.children[rank].pid}",
            mend="read what it wrote above; the same command goes on from the newest checkpoint",
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to those that still run."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(number)

    def end(self) -> None:
        """End whoever still runs."""
        self.signal(signal.SIGKILL)
        for child in self.children:
            child.wait()
            if child.stdin is not None:
                with suppress(BrokenPipeError):  # what was left to write has no reader any more
                    child.stdin.close()
