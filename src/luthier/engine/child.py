"""A process of our own that is spoken to in lines of JSON: what runs in it may crash, and only it goes down."""

import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from subprocess import PIPE, TimeoutExpired
from typing import Any

from luthier.engine import leash

GRACE_SECONDS = 5.0
"""How long a child may take to end by itself once its input is closed."""


class Child:
    """One process that runs `python -m MODULE`. It ends when its input does, or with this one: it never outlives it."""

    def __init__(
        self,
        module: str,
        opening: Mapping[str, Any],
        hear: Callable[["Child", dict[str, Any]], None],
        lost: Callable[["Child", str], None],
    ) -> None:
        """Start it with a first line. `hear` gets each line it says, `lost` why it ended, from a thread of its own."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  kept open as long as the process
        # in a session of its own, because Ctrl-C is for us: what runs is ended in order
        command = [sys.executable, "-m", module]
        self._process = leash.start(command, signal.SIGKILL, stdin=PIPE, stdout=PIPE, stderr=self._said)
        self._lock = threading.Lock()
        self._hear, self._lost = hear, lost
        self.send(opening)
        self._thread = threading.Thread(target=self._listen, name=f"hearing-{self.number}", daemon=True)
        self._thread.start()

    @property
    def number(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, line: Mapping[str, Any]) -> None:
        """Say a line to it; to one that has ended, nothing is said: its end is told by `lost`."""
        data = json.dumps(line).encode() + b"\n"
        with self._lock, suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Let it end; one that does not within some seconds is killed."""
        with self._lock, suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except TimeoutExpired:
            self._process.kill()
        self._thread.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                with suppress(ValueError):  # a line cut off by its death
                    self._hear(self, json.loads(line))
        status = self._process.wait()
        with self._lock, suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._lost(self, _ending(status, self._last_words()))

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read()[-4000:].decode("utf-8", "replace").split("\n")
        self._said.close()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _ending(status: int, words: str) -> str:
    try:
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    except ValueError:
        how = f"was ended by signal {-status}"
    return f"{how}: {words[:300]}" if words else how
