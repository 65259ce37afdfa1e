"""Processes that end when the one which started them does, however it ends: the kernel sees to it.

    python leash.py PARENT SIGNAL PROGRAM ARGUMENT...

becomes the program, which gets the signal when its parent dies. Where the kernel cannot promise that (it is Linux's
`prctl(PR_SET_PDEATHSIG)`), it becomes the program all the same.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PR_SET_PDEATHSIG = 1
_STARTER = ThreadPoolExecutor(1, "starting")
"""The promise is bound to the thread that starts a process: this one lives as long as we do."""


def start(command: Sequence[str], kind: signal.Signals, **settings: Any) -> "subprocess.Popen[bytes]":
    """Start a program that gets this signal when we die. Raises OSError as Popen does; `settings` are Popen's."""
    if not os.access(command[0], os.X_OK):
        raise PermissionError(f"{command[0]} is no program that can be run")
    leashed = [sys.executable, "-IS", __file__, str(os.getpid()), str(int(kind)), *command]

    def popen() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(leashed, start_new_session=True, **settings)

    return _STARTER.submit(popen).result()


def stop(process: "subprocess.Popen[bytes]", patience_seconds: float) -> None:
    """End a process: ask it to, then, if it has not ended in time, kill it."""
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(parent: int, number: int, command: list[str]) -> None:
    """Become the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before the promise was made
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
