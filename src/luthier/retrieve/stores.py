"""The stores by name: the one place where they are imported, each only when it is asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import SpecError
from luthier.retrieve.ports import Store


def open_store(name: str, collection: str, width: int, folder: Path, settings: Mapping[str, Any]) -> Store:
    """Open a collection of a store; it is made where it is not there. Raises StoreError where the store is down."""
    if name not in STORES:
        raise SpecError(f"there is no store {name!r}", where="key store", mend=f"known stores: {', '.join(STORES)}")
    return STORES[name](collection, width, folder, settings)


def _sqlite(collection: str, width: int, folder: Path, settings: Mapping[str, Any]) -> Store:
    from luthier.retrieve.store_sqlite import SqliteStore

    return SqliteStore(folder / f"{collection}.sqlite", width)


STORES: dict[str, Callable[[str, int, Path, Mapping[str, Any]], Store]] = {"sqlite": _sqlite}
