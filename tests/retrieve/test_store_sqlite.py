from pathlib import Path

import numpy as np
import pytest

from luthier.errors import DataError
from luthier.retrieve.bm25 import Statistics, score, weigh
from luthier.retrieve.ports import Entry
from luthier.retrieve.store_sqlite import SqliteStore


def entries(count: int, seed: int = 0, first: int = 1) -> list[Entry]:
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Entry(first + place, tuple(f"w{n}" for n in generator.zipf(1.5, 20) if n < 50), vectors[place])
        for place in range(count)
    ]


def exact(held: list[Entry], asked: list[str]) -> dict[int, float]:
    """BM25 one entry after the other."""
    holding = {word: sum(word in entry.tokens for entry in held) for word in asked}
    statistics = Statistics(len(held), sum(len(entry.tokens) for entry in held), holding)
    weights, mean = weigh(asked, statistics), statistics.length / statistics.chunks
    return {entry.id: score(weights, entry.tokens, mean) for entry in held}


def test_words_and_vectors_are_searched_exactly_through_segments_merges_and_deletes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 8)
    reader = SqliteStore(tmp_path / "s.sqlite", 8)
    held: list[Entry] = []
    for batch in range(20):
        new = entries(7, seed=batch, first=1 + 7 * batch)
        store.put(new)
        held += new
        gone = [held[batch].id]
        store.delete(gone)
        held = [entry for entry in held if entry.id not in gone]
        asked = ["w3", "w7", "w1"]
        holding = {word: sum(word in entry.tokens for entry in held) for word in asked}
        weights = weigh(asked, Statistics(len(held), 1, holding))
        truth = exact(held, asked)
        found = [truth[number] for number, _ in reader.lexical(weights, 10)]  # scores: equal ones may come in any order
        assert found == pytest.approx(sorted(truth.values(), reverse=True)[:10])
        vector = entries(1, seed=99)[0].vector
        assert vector is not None
        best = sorted(held, key=lambda entry: -float(entry.vector @ vector))[:10]  # type: ignore[operator]
        assert [number for number, _ in reader.dense(vector, 10)] == [entry.id for entry in best]
    assert list(reader.ids()) == [entry.id for entry in held]


def test_an_entry_that_is_put_again_is_the_new_one_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 2)
    one = np.asarray([1, 0], np.float32)
    store.put([Entry(1, ("old",), one), Entry(2, ("old", "other"), one)])
    store.put([Entry(1, ("new",), -one)])
    assert [number for number, _ in store.lexical({"old": 1.0}, 5)] == [2]
    assert [number for number, _ in store.lexical({"new": 1.0}, 5)] == [1]
    assert store.dense(one, 5) == [(2, 1.0), (1, -1.0)]
    assert store.dense(one, 5, only=[1, 77]) == [(1, -1.0)]


def test_the_last_entries_deleted_are_passed_over_by_whoever_opens_it_then(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 0)
    store.put([Entry(number, ("word", f"own{number}"), None) for number in (1, 2, 3)])
    store.delete([2, 3])
    for reader in (store, SqliteStore(tmp_path / "s.sqlite", 0)):
        assert [number for number, _ in reader.lexical({"word": 1.0, "own3": 1.0}, 5)] == [1]
    store.delete([1])
    assert SqliteStore(tmp_path / "s.sqlite", 0).lexical({"word": 1.0}, 5) == []


def test_a_vector_of_another_width_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 4)
    with pytest.raises(DataError, match="3 numbers, the store keeps 4") as caught:
        store.dense(np.zeros(3, np.float32), 5)
    assert "embedder" in caught.value.where
    assert "luthier index embedder=" in caught.value.mend


def test_whether_something_changed_is_seen_without_reading_all_changes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 8)
    store.put([Entry(1, ("word",), None)])
    with store._connection as connection:
        connection.executemany("INSERT INTO change (id) VALUES (?)", [(1,)] * 20_000)
    store.lexical({"word": 1.0}, 5)
    steps: list[None] = []
    store._connection.set_progress_handler(lambda: steps.append(None), 100)
    assert store.lexical({"word": 1.0}, 5)
    assert len(steps) < 20
