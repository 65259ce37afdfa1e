"""One run as a person and a program see it: events to the terminal and to `.luthier/runs/.../events.jsonl`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from luthier.artifact.atomic import no_room
from luthier.artifact.store import Store
from luthier.cli.terminal import Terminal
from luthier.errors import LuthierError, Stopped, StoreError
from luthier.event import EventFile, Failed, Tell


@contextmanager
def telling(store: Store, word: str) -> Iterator[Tell]:
    """Give the `tell` of one run."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = store.root / "runs" / f"{stamp}-{os.getpid()}-{word}" / "events.jsonl"
    with no_room(path):
        _make(path.parent, store)
        with Terminal() as terminal, EventFile(path, terminal) as tell:
            try:
                with _stoppable(store):
                    yield tell
            except LuthierError as error:
                tell(Failed(error.what, error.where, error.mend))
                raise


def _make(folder: Path, store: Store) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise StoreError(
            f"nothing can be written into the project folder: {error.strerror}",
            where=str(store.root.absolute()),
            mend="name a folder of your own: luthier --project FOLDER ...",
        ) from None


@contextmanager
def _stoppable(store: Store) -> Iterator[None]:
    """Say after Ctrl-C what is left and how to go on; a stage that saves in the middle of its work says so itself."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            "stopped; what was whole is kept",
            where=str(store.root.absolute()),
            mend="run the same command again: it goes on from there",
        ) from None
