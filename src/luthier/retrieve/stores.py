"""The stores by name: the one place where they are imported, each only when it is asked for."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from luthier.errors import SpecError, ToolError
from luthier.retrieve.down import Guarded
from luthier.retrieve.ports import Store

REMOTE: dict[str, str] = {
    "milvus": "luthier.retrieve.store_milvus:MilvusStore",
    "redis": "luthier.retrieve.store_redis:RedisStore",
    "elasticsearch": "luthier.retrieve.store_elasticsearch:ElasticsearchStore",
    "mongodb": "luthier.retrieve.store_mongodb:MongoStore",
    "pgvector": "luthier.retrieve.store_pgvector:PgvectorStore",
    "qdrant": "luthier.retrieve.store_qdrant:QdrantStore",
}
"""Name -> class: it takes the collection's name, the width (0: no vectors) and the settings."""


def open_store(name: str, collection: str, width: int, folder: Path, settings: Mapping[str, Any]) -> Store:
    """Open a collection of a store; it is made where it is not there.

    Raises StoreError where the store is down, ToolError where its client is not installed.
    """
    if name == "sqlite":
        from luthier.retrieve.store_sqlite import SqliteStore

        return SqliteStore(folder / f"{collection}.sqlite", width)
    if name not in REMOTE:
        known = ", ".join(["sqlite", *REMOTE])
        raise SpecError(f"there is no store {name!r}", where="key store", mend=f"known stores: {known}")
    module, _, kind = REMOTE[name].partition(":")
    try:
        make: Callable[[str, int, Mapping[str, Any]], Store] = getattr(import_module(module), kind)
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the store {name} needs {error.name!r}, which is not installed",
            where="key store",
            mend="pip install 'luthier[stores]'",
        ) from None
    # one server may hold many: a collection's name tells the knowledge base and its generation
    opened = make(re.sub(r"\W", "_", f"luthier_{folder.parent.name}_{folder.name}_{collection}"), width, settings)
    return Guarded(opened, name, str(settings.get("url") or settings.get("uri") or "key store_settings"))
