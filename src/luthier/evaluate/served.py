"""An artifact behind an address: `luthier serve` in a process of its own, as long as a tool asks it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.artifact.store import Store
from luthier.engine import leash
from luthier.errors import ServeError

READY_SECONDS = 300.0
PATIENCE_SECONDS = 30.0
"""How long it may take to end: it lets answers that are begun be finished."""
LOOK_SECONDS = 0.1
ADDRESS = re.compile(r"\bat (http://\S+/v1)\b")


@contextmanager
def served(store: Store, name: str, log: Path) -> Iterator[str]:
    """Serve an artifact and give its address; `log` keeps what it tells. Raises ServeError if it does not start.

    The engine is the one that evaluations ask in their own process, so that what is served is what would be measured.
    """
    command = [sys.executable, "-m", "luthier", "--project", str(store.root.absolute()), "serve", "--model", name]
    with log.open("w", encoding="utf-8") as out:
        process = leash.start(
            [*command, "--engine", "transformers", "port=0", "waiting=4096"],
            signal.SIGTERM,
            stdout=out,
            stderr=out,
            env={**os.environ, "COLUMNS": "500"},  # an address must not be wrapped
        )
        try:
            yield _address(process, log)
        finally:
            leash.stop(process, PATIENCE_SECONDS)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        said = log.read_text(encoding="utf-8")
        found = ADDRESS.search(said)
        if found:
            return found[1]
        status = process.poll()
        if status is not None:
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            why = next((line for line in lines if line.startswith("error:")), (lines or ["no word"])[-1])
            raise ServeError(
                f"luthier serve ended with status {status}: {why}", where=str(log), mend="see what it says there"
            )
        time.sleep(LOOK_SECONDS)
    raise ServeError(f"luthier serve was not ready within {READY_SECONDS:g} s", where=str(log), mend="see its log")
