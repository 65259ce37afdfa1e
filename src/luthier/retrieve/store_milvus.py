"""Milvus, by its official client: a server's address, or a file that milvus-lite serves.

Vectors lie in a FLAT index, which searches exactly; words in a sparse one, whose scores choose candidates.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from luthier.retrieve.down import down
from luthier.retrieve.matrix import nearest_of
from luthier.retrieve.ports import Entry, Vector
from luthier.retrieve.sparse import as_sparse, place_of

AT_ONCE = 500
MOST_ROWS = 16_384
"""What Milvus gives at once."""


class MilvusStore:
    """One collection."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any]) -> None:
        """Open `settings["uri"]`. Raises StoreError where nothing answers."""
        self._name = name
        self._width = width
        uri = str(settings.get("uri", "http://localhost:19530"))
        try:
            self._client = MilvusClient(uri=uri, token=str(settings.get("token", "")), timeout=20)
            if not self._client.has_collection(name):
                self._create()
            self._client.load_collection(name)
        except (MilvusException, OSError) as error:
            raise down("Milvus", error, uri, key="uri") from None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        for begin in range(0, len(entries), AT_ONCE):
            rows = [
                {
                    "id": entry.id,
                    "words": as_sparse(entry.tokens),
                    **({"vector": entry.vector.tolist()} if self._width and entry.vector is not None else {}),
                }
                for entry in entries[begin : begin + AT_ONCE]
            ]
            self._client.upsert(self._name, rows)

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        for begin in range(0, len(ids), AT_ONCE):
            self._client.delete(self._name, ids=list(ids[begin : begin + AT_ONCE]))

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        return self._search("vector", vector.tolist(), count)

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates."""
        return self._search("words", {place_of(word): weight for word, weight in weights.items()}, count)

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        found: dict[int, Vector] = {}
        for begin in range(0, len(ids) if self._width else 0, AT_ONCE):
            part = list(ids[begin : begin + AT_ONCE])
            rows = self._client.get(self._name, ids=part, output_fields=["id", "vector"])
            found.update({int(row["id"]): np.asarray(row["vector"], np.float32) for row in rows})
        return found

    def ids(self) -> Iterator[int]:
        """Give every id."""
        last = -1
        while True:
            rows = self._client.query(
                self._name, filter=f"id > {last}", output_fields=["id"], limit=MOST_ROWS, consistency_level="Strong"
            )
            if not rows:
                return
            found = sorted(int(row["id"]) for row in rows)
            yield from found
            last = found[-1]

    def drop(self) -> None:
        """Take the collection away."""
        self._client.drop_collection(self._name)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _search(self, field: str, data: Any, count: int) -> list[tuple[int, float]]:
        found = self._client.search(
            self._name,
            data=[data],
            anns_field=field,
            limit=min(count, MOST_ROWS),
            search_params={"metric_type": "IP"},
            consistency_level="Strong",
        )
        return [(int(hit["id"]), float(hit["distance"])) for hit in found[0]]

    def _create(self) -> None:
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        index = self._client.prepare_index_params()
        index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        if self._width:
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._width)
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._client.create_collection(self._name, schema=schema, index_params=index, consistency_level="Strong")
