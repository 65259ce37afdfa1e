"""One worker process: `python -m luthier.tune.worker RANK SIZE MEETING`, the job on its input, events on its output."""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from luthier.errors import LuthierError
from luthier.event import Event, hush, to_json
from luthier.tune.job import Place, from_json, work_on

Send = Callable[[str], None]


def main(rank: int, size: int, meeting: Path) -> int:
    """Take part in a run. Gives the exit status: 0, or 1 after an error was sent."""
    send = _channel()
    job = from_json(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def tell(event: Event) -> None:
        send(to_json(event, time.time()))

    from luthier.learn.distributed import ALONE, joined  # torch: 2 s

    place = Place(rank, size, rank)
    try:
        alone = size == 1 and job.spec["learn"]["shard"] == "none"
        meet = nullcontext(ALONE) if alone else joined(rank, size, job.device, meeting.as_uri())
        with meet as processes:
            figures = work_on(job, place, processes, tell if rank == 0 else hush)
        if rank == 0:
            send(json.dumps({"figures": figures}))
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        send(json.dumps({"error": _said(error, place)}))
        return 1
    return 0


def _said(error: Exception, place: Place) -> dict[str, Any]:
    if isinstance(error, LuthierError):
        from luthier.learn.distributed import GONE

        is_lost = error.what.startswith(GONE)
        return {
            "kind": "lost" if is_lost else type(error).__name__,
            "what": error.what,
            "where": error.where,
            "mend": error.mend,
        }
    traceback.print_exc()
    return {
        # a dead neighbour is seen inside libraries too
        "kind": "lost" if type(error).__module__.startswith("torch.distributed") or "peer" in str(error) else "crash",
        "what": f"process {place.rank + 1} of {place.size} failed: {type(error).__name__}: {error}"[:400],
        "where": f"process id {os.getpid()}",
        "mend": "the lines above tell where; the same command goes on from the newest checkpoint",
    }


def _channel() -> Send:
    """Keep the output for events: what libraries print goes to the errors."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(line: str) -> None:
        with lock:
            channel.write(line + "\n")

    return send


def _die_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # whoever launched us is gone; nothing can be told any more


if __name__ == "__main__":
    status = main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads of libraries that still wait for a dead process must not hold us
