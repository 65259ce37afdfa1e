"""What is done with a knowledge base beside bringing documents in: list, delete, verify, repair."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from luthier.engine.embed import open_embedder
from luthier.errors import DataError
from luthier.event import Said, Tell
from luthier.index.build import open_generation
from luthier.index.sources import lies_in
from luthier.retrieve.catalogue import Catalogue
from luthier.retrieve.place import Current, knowledge_folder, read_current, writer_lock
from luthier.retrieve.ports import Store, Vector
from luthier.retrieve.verify import Health, repair, verify
from luthier.retrieve.writer import Writer


def list_documents(project: Path, name: str) -> list[str]:
    """Give the labels of all documents."""
    with _opened(project, name) as (_, catalogue, _stores), catalogue.reading():
        return sorted(catalogue.documents())


def delete_documents(project: Path, name: str, labels: Sequence[str], tell: Tell) -> int:
    """Take documents out, by label or by the folder they lie in. Raises DataError where none is meant."""
    with _held(project, name, tell) as (_, catalogue, stores):
        held = catalogue.documents()
        paths = {wanted: Path(wanted).as_posix() for wanted in labels}
        meant = [label for label in held if any(_is_in(label, path) for path in paths.values())]
        unknown = [wanted for wanted, path in paths.items() if not any(_is_in(label, path) for label in meant)]
        if unknown:
            raise DataError(
                f"there is no document {unknown[0]!r} in the knowledge base {name!r}",
                where=str(knowledge_folder(project, name)),
                mend=f"see what it holds: luthier index --list name={name}",
            )
        count = Writer(catalogue, stores).delete(meant)
        tell(Said(f"{count} documents are deleted from {name}; they are not found any more"))
        return count


def check(project: Path, name: str, tell: Tell, *, mend: bool) -> Health:
    """Verify a knowledge base; with `mend` repair it first where that is needed."""
    # a writer at work would be taken for one that was killed
    with _held(project, name, tell) as (current, catalogue, stores):
        health = verify(catalogue, stores, bool(current.embedder))
        if not mend or health.is_whole:
            return health

        def embed(texts: Sequence[str]) -> Sequence[Vector]:
            return list(open_embedder(current.embedder, tell).embed(texts, "passage", tell))

        repair(catalogue, stores, health, embed if current.embedder else None)
        return verify(catalogue, stores, bool(current.embedder))


@contextmanager
def _held(project: Path, name: str, tell: Tell) -> Iterator[tuple[Current, Catalogue, dict[str, Store]]]:
    """Open a knowledge base while no other process changes it."""
    folder = knowledge_folder(project, name)
    read_current(folder)  # else a lock would be left where there is none
    with writer_lock(folder, tell), _opened(project, name) as found:
        yield found


@contextmanager
def _opened(project: Path, name: str) -> Iterator[tuple[Current, Catalogue, dict[str, Store]]]:
    folder = knowledge_folder(project, name)
    current = read_current(folder)
    catalogue, stores = open_generation(folder, current)
    try:
        yield current, catalogue, stores
    finally:
        catalogue.close()
        for store in stores.values():
            store.close()


def _is_in(label: str, wanted: str) -> bool:
    return label == wanted or lies_in(label, wanted)
