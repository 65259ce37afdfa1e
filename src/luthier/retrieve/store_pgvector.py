"""PostgreSQL with pgvector: vectors scanned exactly (no approximate index), words in an array with a GIN index."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from luthier.retrieve.down import down
from luthier.retrieve.matrix import nearest_of
from luthier.retrieve.ports import Entry, Vector


class PgvectorStore:
    """One table."""

    is_exact = False

    def __init__(self, name: str, width: int, settings: Mapping[str, Any]) -> None:
        """Open `settings["url"]`. Raises StoreError where nothing answers, or pgvector is not installed there."""
        self._table = sql.Identifier(name)
        self._width = width
        url = str(settings.get("url", "postgresql://localhost"))
        try:
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
            self._run("CREATE EXTENSION IF NOT EXISTS vector")
            register_vector(self._connection)
            column = sql.SQL("vector vector({})").format(sql.Literal(width)) if width else sql.SQL("vector text")
            self._run("CREATE TABLE IF NOT EXISTS {} (id bigint PRIMARY KEY, tokens text[] NOT NULL, {})", column)
            self._run("CREATE INDEX IF NOT EXISTS {} ON {} USING gin (tokens)", self._table, first=name + "_tokens")
        except psycopg.Error as error:
            raise down("PostgreSQL", error, url, needs="pgvector installed") from None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        statement = sql.SQL(
            "INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT (id) "
            "DO UPDATE SET tokens = excluded.tokens, vector = excluded.vector"
        ).format(self._table)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(statement, [(entry.id, list(entry.tokens), entry.vector) for entry in entries])

    def delete(self, ids: Sequence[int]) -> None:
        """Forget entries."""
        self._run("DELETE FROM {} WHERE id = ANY(%s)", values=(list(ids),))

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the nearest entries."""
        if only is not None:
            return nearest_of(self.vectors(only), vector, count)
        rows = self._run(
            "SELECT id, -(vector <#> %s) FROM {} WHERE vector IS NOT NULL ORDER BY vector <#> %s, id LIMIT %s",
            values=(vector, vector, count),
        )
        return [(int(number), float(score)) for number, score in rows]

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        """Give candidates: by the sum of their words' idf."""
        words = list(weights)
        rows = self._run(
            "SELECT id, (SELECT sum(weight) FROM unnest(%s::text[], %s::float8[]) AS asked (word, weight) "
            "WHERE word = ANY (tokens)) AS score FROM {} WHERE tokens && %s::text[] ORDER BY score DESC, id LIMIT %s",
            values=(words, list(weights.values()), words, count),
        )
        return [(int(number), float(score)) for number, score in rows]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        """Give the vectors of those it holds."""
        if not self._width:
            return {}
        rows = self._run("SELECT id, vector FROM {} WHERE id = ANY(%s) AND vector IS NOT NULL", values=(list(ids),))
        return {int(number): np.asarray(_plain(vector), np.float32) for number, vector in rows}

    def ids(self) -> Iterator[int]:
        """Give every id."""
        yield from (int(number) for (number,) in self._run("SELECT id FROM {} ORDER BY id"))

    def drop(self) -> None:
        """Take the table away."""
        self._run("DROP TABLE IF EXISTS {}")

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _run(self, text: str, *more: sql.Composable, first: str = "", values: Sequence[Any] = ()) -> list[Any]:
        names = [sql.Identifier(first[-60:]), *more] if first else [self._table, *more]
        cursor = self._connection.execute(sql.SQL(text).format(*names) if "{}" in text else sql.SQL(text), values)
        return cursor.fetchall() if cursor.description else []


def _plain(vector: Any) -> Any:
    return vector.to_numpy() if hasattr(vector, "to_numpy") else vector
