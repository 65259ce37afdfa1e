"""A store that fails in the middle of the work is told as ours; our own mistakes are not."""

from collections.abc import Iterator, Mapping, Sequence

import httpx
import numpy as np
import pytest

from luthier.errors import StoreError
from luthier.retrieve.down import MOST_CHARACTERS, Guarded, down
from luthier.retrieve.ports import Entry, Vector


class Breaking:
    is_exact = False

    def __init__(self, error: Exception) -> None:
        self.error = error

    def put(self, entries: Sequence[Entry]) -> None:
        raise self.error

    def delete(self, ids: Sequence[int]) -> None:
        raise self.error

    def dense(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        raise self.error

    def lexical(self, weights: Mapping[str, float], count: int) -> list[tuple[int, float]]:
        raise self.error

    def vectors(self, ids: Sequence[int]) -> dict[int, Vector]:
        raise self.error

    def ids(self) -> Iterator[int]:
        raise self.error

    def drop(self) -> None:
        raise self.error

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), httpx.ReadTimeout("too slow")])
def test_every_call_tells_a_lost_store_in_three_lines(error: Exception) -> None:
    store = Guarded(Breaking(error), "qdrant", "http://me:secret@host:1")
    calls = [
        lambda: store.put([]),
        lambda: store.delete([]),
        lambda: store.dense(np.zeros(1, np.float32), 1),
        lambda: store.lexical({}, 1),
        lambda: store.vectors([]),
        lambda: list(store.ids()),
        store.drop,
    ]
    for call in calls:
        with pytest.raises(StoreError, match="qdrant does not answer") as caught:
            call()
        assert caught.value.where == "http://host:1"
        assert caught.value.mend == "start it, or mend store_settings.url"
    assert not store.is_exact


def test_a_mistake_of_ours_stays_what_it_is() -> None:
    with pytest.raises(KeyError):
        Guarded(Breaking(KeyError("x")), "redis", "redis://host").vectors([1])


def test_a_client_that_tells_its_whole_state_is_cut_short() -> None:
    told = down("PostgreSQL", OSError("no route\nIs the server running?"), "postgresql://u:p@h/x", needs="pgvector")
    assert str(told).splitlines()[0] == "PostgreSQL does not answer: no route"
    assert "u:p" not in str(told)
    assert "with pgvector" in told.mend
    assert len(down("X", OSError("a" * 500), "h").what) < MOST_CHARACTERS + 30
