"""A store that does not answer, when it is opened or in the middle of the work: one error, without the client's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from luthier.errors import StoreError
from luthier.retrieve.ports import Entry, Store, Vector

MOST_CHARACTERS = 160
"""Of what a client says: some tell their whole state."""
CLIENTS = {
    "redis", "pymilvus", "grpc", "elasticsearch", "elastic_transport", "pymongo", "psycopg", "qdrant_client", "httpx",
    "httpcore",
}  # fmt: skip
"""Packages whose errors are those of a store."""


def down(who: str, error: Exception, url: str, *, key: str = "url", needs: str = "") -> StoreError:
    """Say that a store does not answer: the first line of the client's message, and the address without a password."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:MOST_CHARACTERS]
    start = f"start it{' with ' + needs if needs else ''}, or mend store_settings.{key}"
    scheme, sign, rest = url.rpartition("://")
    return StoreError(f"{who} does not answer: {said}", where=scheme + sign + rest.rpartition("@")[2], mend=start)


class Guarded:
    """A store in another process, whose failures in the middle of the work are told as ours."""

    def __init__(self, inner: Store, who: str, where: str) -> None:
        self._inner, self._who, self._where = inner, who, where
        self.is_exact = inner.is_exact

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        with self._told():
            self._inner.put(entries)

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        with self._told():
            self._inner.delete(ids)

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        with self._told():
            return self._inner.dense(vector, count, only)

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give entries that hold some of the terms."""
        with self._told():
            return self._inner.lexical(weights, count)

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        with self._told():
            return self._inner.vectors(ids)

    def ids(self) -> Iterator[int]:
        """Give every id it holds."""
        with self._told():
            yield from self._inner.ids()

    def drop(self) -> None:
        """Take the collection away."""
        with self._told():
            self._inner.drop()

    def close(self) -> None:
        """Let go of connections."""
        self._inner.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in CLIENTS:
                raise down(self._who, error, self._where) from error
            raise
