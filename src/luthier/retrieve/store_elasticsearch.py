"""Elasticsearch, from 8.15: a `flat` index of vectors, which is exact; words split at white space alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from elasticsearch import ApiError, Elasticsearch, TransportError

from luthier.errors import StoreError
from luthier.retrieve.down import down
from luthier.retrieve.matrix import nearest_of
from luthier.retrieve.ports import Entry, Vector

AT_ONCE = 500


class ElasticsearchStore:
    """One index."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any]) -> None:
        """Open `settings["url"]`. Raises StoreError where nothing answers."""
        self._name = name.casefold()
        self._width = width
        url = str(settings.get("url", "http://localhost:9200"))
        try:
            self._client = Elasticsearch(url, api_key=settings.get("api_key"), request_timeout=60)
            if not self._client.indices.exists(index=self._name):
                self._client.indices.create(index=self._name, mappings=self._mappings())
        except (ApiError, TransportError) as error:
            raise down("Elasticsearch", error, url) from None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        for begin in range(0, len(entries), AT_ONCE):
            lines: list[Any] = []
            for entry in entries[begin : begin + AT_ONCE]:
                vector = {} if entry.vector is None else {"vector": entry.vector.tolist()}
                lines += [
                    {"index": {"_id": str(entry.id)}},
                    {"number": entry.id, "tokens": " ".join(entry.tokens), **vector},
                ]
            self._bulk(lines)

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        for begin in range(0, len(ids), AT_ONCE):
            self._bulk([{"delete": {"_id": str(number)}} for number in ids[begin : begin + AT_ONCE]])

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries. Elasticsearch's score is (1 + cosine) / 2."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        knn = {"field": "vector", "query_vector": vector.tolist(), "k": count, "num_candidates": max(count, 100)}
        found = self._client.search(index=self._name, knn=knn, size=count, source=False)
        return [(int(hit["_id"]), 2 * float(hit["_score"]) - 1) for hit in found["hits"]["hits"]]

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates: by Elasticsearch's own BM25."""
        query = {"match": {"tokens": {"query": " ".join(weights), "operator": "or"}}}
        found = self._client.search(index=self._name, query=query, size=count, source=False)
        return [(int(hit["_id"]), float(hit["_score"])) for hit in found["hits"]["hits"]]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        found: dict[int, Vector] = {}
        for begin in range(0, len(ids), AT_ONCE):
            part = [str(number) for number in ids[begin : begin + AT_ONCE]]
            rows = self._client.mget(index=self._name, ids=part)["docs"]
            held = [row for row in rows if row.get("found") and "vector" in row["_source"]]
            found.update({int(row["_id"]): np.asarray(row["_source"]["vector"], np.float32) for row in held})
        return found

    def ids(self) -> Iterator[int]:
        """Give every id."""
        last = -1
        while True:
            found = self._client.search(
                index=self._name,
                query={"range": {"number": {"gt": last}}},
                sort=[{"number": "asc"}],
                size=1000,
                source=["number"],
            )["hits"]["hits"]
            if not found:
                return
            yield from (int(hit["_id"]) for hit in found)
            last = int(found[-1]["_id"])

    def drop(self) -> None:
        """Take the index away."""
        self._client.indices.delete(index=self._name, ignore_unavailable=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _bulk(self, lines: list[Any]) -> None:
        done = self._client.bulk(index=self._name, operations=lines, refresh="wait_for")
        failed = [item for item in done["items"] if next(iter(item.values())).get("status", 200) not in (200, 201, 404)]
        if failed:
            raise StoreError(
                f"Elasticsearch refuses {len(failed)} entries: {failed[0]}",
                where=self._name,
                mend="see its message, then run the same command again",
            )

    def _mappings(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "number": {"type": "long"},
            "tokens": {"type": "text", "analyzer": "whitespace"},
        }
        if self._width:
            properties["vector"] = {
                "type": "dense_vector",
                "dims": self._width,
                "index": True,
                "similarity": "cosine",
                "index_options": {"type": "flat"},
            }
        return {"dynamic": False, "properties": properties}
