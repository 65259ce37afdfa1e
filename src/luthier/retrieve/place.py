"""Where a knowledge base lies, and which of its generations is read.

.luthier/knowledge/NAME/current.json     the generation that is read, and how it was made
.luthier/knowledge/NAME/writer.lock      held by the process that changes it
.luthier/knowledge/NAME/GENERATION/      one catalogue and its stores

Another embedder, store or cut makes a new generation beside the one that is read; the flip is one rename.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from luthier.artifact import atomic
from luthier.errors import StoreError
from luthier.event import Said, Tell
from luthier.retrieve.bm25 import WORDS

CURRENT = "current.json"
CATALOGUE = "catalogue.sqlite"
POINTER = "knowledge.json"
"""In an artifact of the kind `index`: which knowledge base it describes."""


@dataclass(frozen=True)
class Current:
    """The generation that is read, and all that opening it needs."""

    generation: str
    about: str
    embedder: str
    """As `open_embedder` takes it; '' for none."""
    embedder_name: str
    """What the embedder called itself: another name means other vectors."""
    width: int
    store: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How documents are cut, as plain JSON: other settings make another generation."""
    store_settings: Mapping[str, Any] = field(default_factory=dict)
    words: int = WORDS
    """By which words its chunks are found: `bm25.WORDS` when it was made."""


def knowledge_folder(project: Path, name: str) -> Path:
    """Give where the knowledge base of a name lies in a project folder."""
    return project / "knowledge" / name


def folder_of(given: Path) -> Path:
    """Give a knowledge base's folder, from itself or from the folder of an artifact of the kind `index`.

    Raises StoreError if it is neither.
    """
    if (given / CURRENT).exists():
        return given
    pointer = given / POINTER
    if pointer.exists():
        name = str(json.loads(pointer.read_text(encoding="utf-8"))["name"])
        found = knowledge_folder(given.parents[1], name)
        if (found / CURRENT).exists():
            return found
        raise StoreError(
            f"the knowledge base {name!r} of {given.name} is gone",
            where=str(found),
            mend="make it again with the same command: luthier index ...",
        )
    raise StoreError("this is no knowledge base", where=str(given), mend="make one: luthier index FILES... name=NAME")


def read_current(folder: Path) -> Current:
    """Read which generation is read. Raises StoreError if there is none, or it cannot be read."""
    path = folder / CURRENT
    try:
        return Current(**{"words": 1, **json.loads(path.read_text(encoding="utf-8"))})
    except FileNotFoundError:
        raise StoreError(
            "this is no knowledge base", where=str(folder), mend="make one: luthier index FILES... name=NAME"
        ) from None
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the knowledge base cannot be read: {error}",
            where=str(path),
            mend="remove its folder, then make it again: luthier index ...",
        ) from None


def flip(folder: Path, current: Current) -> None:
    """Let this generation be read from now on, and take the others away. Who still reads one keeps its open files."""
    atomic.write_json(folder / CURRENT, asdict(current))
    for other in folder.iterdir():
        if other.is_dir() and other.name != current.generation:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def writer_lock(folder: Path, tell: Tell) -> Iterator[None]:
    """Be the one that changes a knowledge base; another writer is waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "writer.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(Said(f"another process is changing the knowledge base {folder.name}: waiting for it"))
        lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()
