"""Qdrant, by its official client: a server's address, or a folder in the client's local mode."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from luthier.retrieve.down import down
from luthier.retrieve.matrix import nearest_of
from luthier.retrieve.ports import Entry, Vector
from luthier.retrieve.sparse import as_sparse, place_of

AT_ONCE = 500
EXACT = models.SearchParams(exact=True)


class QdrantStore:
    """One collection."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any]) -> None:
        """Open `settings["url"]` or the folder `settings["path"]`. Raises StoreError where nothing answers."""
        self._name = name
        self._width = width
        where = str(settings.get("url") or settings.get("path") or "http://localhost:6333")
        self._params = None if settings.get("path") else EXACT  # its local mode is exact, and warns of being told so
        try:
            if settings.get("path"):
                self._client = QdrantClient(path=str(settings["path"]))
            else:
                self._client = QdrantClient(url=where, api_key=settings.get("api_key"), check_compatibility=False)
            if not self._client.collection_exists(name):
                self._create()
        except (ResponseHandlingException, UnexpectedResponse, OSError, RuntimeError) as error:
            raise down("Qdrant", error, where) from None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        for begin in range(0, len(entries), AT_ONCE):
            points = [
                models.PointStruct(id=entry.id, vector=self._named(entry), payload={"tokens": list(entry.tokens)})
                for entry in entries[begin : begin + AT_ONCE]
            ]
            self._client.upsert(self._name, points, wait=True)

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        if ids:
            self._client.delete(self._name, models.PointIdsList(points=list(ids)), wait=True)

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        return self._search("vector", vector.tolist(), count)

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates."""
        places: dict[int, float] = {}
        for word, weight in weights.items():
            places[place_of(word)] = places.get(place_of(word), 0.0) + weight
        return self._search("words", models.SparseVector(indices=list(places), values=list(places.values())), count)

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        if not ids or not self._width:
            return {}
        points = self._client.retrieve(self._name, list(ids), with_vectors=["vector"], with_payload=False)
        return {int(point.id): np.asarray(point.vector["vector"], np.float32) for point in points}

    def ids(self) -> Iterator[int]:
        """Give every id."""
        after: Any = None
        while True:
            points, after = self._client.scroll(self._name, limit=1000, offset=after, with_payload=False)
            yield from (int(point.id) for point in points)
            if after is None:
                return

    def drop(self) -> None:
        """Take the collection away."""
        self._client.delete_collection(self._name)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _named(self, entry: Entry) -> dict[str, Any]:
        sparse = as_sparse(entry.tokens)
        words = models.SparseVector(indices=list(sparse), values=list(sparse.values()))
        return {"words": words, **({"vector": entry.vector.tolist()} if entry.vector is not None else {})}

    def _search(self, using: str, query: Any, count: int) -> list[tuple[int, float]]:
        found = self._client.query_points(
            self._name, query=query, using=using, limit=count, with_payload=False, search_params=self._params
        )
        return [(int(point.id), float(point.score)) for point in found.points]

    def _create(self) -> None:
        dense = {"vector": models.VectorParams(size=self._width, distance=models.Distance.DOT)} if self._width else {}
        self._client.create_collection(
            self._name, vectors_config=dense, sparse_vectors_config={"words": models.SparseVectorParams()}
        )
