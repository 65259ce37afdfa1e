"""MongoDB: words in an array with an index; vectors scanned exactly in memory, or by Atlas' `$vectorSearch`.

The scan works on every MongoDB; it reads the vectors anew when another process has changed the collection.
`store_settings.vector_index` names an Atlas index of vectors and lets `$vectorSearch` (exact) do it: that path has not
been run against a real Atlas.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from luthier.retrieve.down import down
from luthier.retrieve.matrix import Matrix, nearest_of
from luthier.retrieve.ports import Entry, Vector

CHANGES = "changes"
"""The document that counts changes; entries have numbers for ids."""


class MongoStore:
    """One collection."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any], client: Any = None) -> None:
        """Open `settings["url"]`. Raises StoreError where nothing answers."""
        self._width = width
        self._vector_index = settings.get("vector_index")
        url = str(settings.get("url", "mongodb://localhost:27017"))
        self._client = client or MongoClient(url, serverSelectionTimeoutMS=10_000)
        try:
            self._entries = self._client[str(settings.get("database", "luthier"))][name]
            self._entries.create_index("tokens")
        except PyMongoError as error:
            self._client.close()
            raise down("MongoDB", error, url) from None
        self._seen = -1
        self._matrix = Matrix(width)

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        rows = [
            {
                "_id": entry.id,
                "tokens": list(entry.tokens),
                "vector": None if entry.vector is None else entry.vector.tolist(),
            }
            for entry in entries
        ]
        if rows:
            self._entries.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
            self._entries.insert_many(rows)
            self._count()

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        if ids:
            self._entries.delete_many({"_id": {"$in": list(ids)}})
            self._count()

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        if self._vector_index:
            return self._vector_search(vector, count)
        self._refresh()
        return self._matrix.nearest(vector, count)

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates: by the sum of their words' idf."""
        rows = self._entries.find({"tokens": {"$in": list(weights)}}, {"tokens": 1})
        scores = {
            int(row["_id"]): sum(weights.get(word, 0.0) for word in set(row["tokens"]))
            for row in rows
            if row["_id"] != CHANGES
        }
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        rows = self._entries.find({"_id": {"$in": list(ids)}}, {"vector": 1})
        return {int(row["_id"]): np.asarray(row["vector"], np.float32) for row in rows if row.get("vector")}

    def ids(self) -> Iterator[int]:
        """Give every id."""
        yield from sorted(int(row["_id"]) for row in self._entries.find({}, {"_id": 1}) if row["_id"] != CHANGES)

    def drop(self) -> None:
        """Take the collection away."""
        self._entries.drop()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _count(self) -> None:
        self._entries.update_one({"_id": CHANGES}, {"$inc": {"number": 1}}, upsert=True)

    def _refresh(self) -> None:
        row = self._entries.find_one({"_id": CHANGES})
        number = int(row["number"]) if row else 0
        if number != self._seen:
            self._matrix = Matrix(self._width)
            vectors = self.vectors(list(self.ids()))
            if vectors:
                self._matrix.add(list(vectors), np.stack(list(vectors.values())))
            self._seen = number

    def _vector_search(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """Atlas' score of a cosine is (1 + cosine) / 2."""
        asked = {
            "index": self._vector_index,
            "path": "vector",
            "queryVector": vector.tolist(),
            "exact": True,
            "limit": count,
        }
        rows = self._entries.aggregate(
            [{"$vectorSearch": asked}, {"$project": {"score": {"$meta": "vectorSearchScore"}}}]
        )
        return [(int(row["_id"]), 2 * float(row["score"]) - 1) for row in rows]
