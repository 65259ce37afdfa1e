"""Redis with RediSearch: a hash for each entry, a FLAT index of vectors, words as text that is not stemmed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import redis
from redis.commands.search.field import TextField, VectorField
from redis.commands.search.index_definition import IndexDefinition, IndexType
from redis.commands.search.query import Query

from luthier.retrieve.down import down
from luthier.retrieve.matrix import nearest_of
from luthier.retrieve.ports import Entry, Vector

AT_ONCE = 500


class RedisStore:
    """One index."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any]) -> None:
        """Open `settings["url"]`. Raises StoreError where nothing answers, or RediSearch is not loaded."""
        self._name = name
        self._width = width
        url = str(settings.get("url", "redis://localhost:6379"))
        try:
            self._client = redis.Redis.from_url(url, socket_connect_timeout=10)
            self._search = self._client.ft(name)
            if name.encode() not in self._client.execute_command("FT._LIST"):
                self._create()
        except redis.RedisError as error:
            raise down("Redis", error, url, needs="RediSearch loaded") from None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries; the index is up to date when a command returns."""
        for begin in range(0, len(entries), AT_ONCE):
            pipe = self._client.pipeline()
            for entry in entries[begin : begin + AT_ONCE]:
                values = {"words": " ".join(map(_spell, entry.tokens))}
                vector = {} if entry.vector is None else {"vector": entry.vector.astype(np.float32).tobytes()}
                pipe.hset(self._key(entry.id), mapping={**values, **vector})
            pipe.execute()

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        for begin in range(0, len(ids), AT_ONCE):
            self._client.delete(*map(self._key, ids[begin : begin + AT_ONCE]))

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        query = (
            Query(f"*=>[KNN {count} @vector $asked AS distance]")
            .sort_by("distance")
            .return_fields("distance")
            .paging(0, count)
            .dialect(2)
        )
        found = self._search.search(query, {"asked": vector.astype(np.float32).tobytes()})
        return [(self._number(hit.id), 1 - float(hit.distance)) for hit in found.docs]

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates: by RediSearch's own BM25."""
        query = Query("|".join(map(_spell, weights))).scorer("BM25STD").with_scores().no_content().paging(0, count)
        found = self._search.search(query.dialect(2))
        return [(self._number(hit.id), float(hit.score)) for hit in found.docs]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        pipe = self._client.pipeline()
        for number in ids:
            pipe.hget(self._key(number), "vector")
        found = zip(ids, pipe.execute(), strict=True)
        return {number: np.frombuffer(data, np.float32) for number, data in found if data}

    def ids(self) -> Iterator[int]:
        """Give every id."""
        yield from sorted(self._number(key.decode()) for key in self._client.scan_iter(f"{self._name}:*", 1000))

    def drop(self) -> None:
        """Take the index and its hashes away."""
        self._search.dropindex(delete_documents=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _key(self, number: int) -> str:
        return f"{self._name}:{number}"

    def _number(self, key: str) -> int:
        return int(key.rpartition(":")[2])

    def _create(self) -> None:
        fields: list[Any] = [TextField("words", no_stem=True)]
        if self._width:
            flat = {"TYPE": "FLOAT32", "DIM": self._width, "DISTANCE_METRIC": "COSINE"}
            fields.append(VectorField("vector", "FLAT", flat))
        kept = IndexDefinition(prefix=[f"{self._name}:"], index_type=IndexType.HASH)
        self._search.create_index(fields, definition=kept, stopwords=[])


def _spell(word: str) -> str:
    """Spell a word so that no tokenizer of another takes it apart."""
    return "w" + word.encode("utf-8", "surrogatepass").hex()
