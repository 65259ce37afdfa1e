"""One run as a person and a program see it: events to the terminal and to `.luthier/runs/.../events.jsonl`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from luthier.artifact.atomic import no_room
from luthier.artifact.store import Store
from luthier.cli.terminal import Terminal
from luthier.errors import LuthierError
from luthier.event import EventFile, Failed, Tell


@contextmanager
def telling(store: Store, word: str) -> Iterator[Tell]:
    """Give the `tell` of one run."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = store.root / "runs" / f"{stamp}-{os.getpid()}-{word}" / "events.jsonl"
    with no_room(path), Terminal() as terminal, EventFile(path, terminal) as tell:
        try:
            yield tell
        except LuthierError as error:
            tell(Failed(error.what, error.where, error.mend))
            raise
