from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.retrieve import max_score
from luthier.retrieve.bm25 import K1, B
from luthier.retrieve.max_score import Word, best_by_words


@given(
    entries=st.integers(1, 3000),
    words=st.integers(0, 8),
    count=st.sampled_from([0, 1, 3, 10, 50]),
    parts=st.integers(1, 3),
    many=st.sampled_from([0, 50, 2000]),
    seed=st.integers(0, 1000),
)
def test_the_best_are_those_of_every_entry_scored(
    entries: int, words: int, count: int, parts: int, many: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    # some words stand nearly everywhere, some nearly nowhere; some entries are no longer there
    shares = draw.choice([0.001, 0.02, 0.3, 0.95], words)
    times = (draw.random((words, entries)) < shares[:, None]) * draw.geometric(0.6, (words, entries))
    lengths = times.sum(axis=0) + draw.integers(1, 200, entries)
    norm = np.where(draw.random(entries) < 0.1, np.inf, K1 * (1 - B + B * lengths / lengths.mean()))
    weights = np.log(1 + (entries - (times > 0).sum(axis=1) + 0.5) / ((times > 0).sum(axis=1) + 0.5))
    truth = (weights[:, None] * (K1 + 1) * times / (times + norm)).sum(axis=0)
    borders = np.sort(draw.integers(0, entries, parts - 1))
    asked = [
        Word(
            float(weight),
            [
                (held.astype(np.int32), row[held].astype(np.uint16))
                for held in np.split(np.flatnonzero(row), np.searchsorted(np.flatnonzero(row), borders))
            ],
        )
        for weight, row in zip(weights, times, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(max_score, "MANY", many)
        found = best_by_words(asked, norm, count)
    best = sorted(truth[truth > 0], reverse=True)[:count]
    assert [value for _, value in found] == pytest.approx(best)
    assert [truth[number] for number, _ in found] == pytest.approx(best)


def test_entries_that_cannot_be_among_the_best_are_not_scored_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the rare word is worth more than the frequent one can add: only its holders are looked at
    everywhere = np.arange(100_000, dtype=np.int32)
    norm = np.full(100_000, 1.0)
    frequent = Word(0.1, [(everywhere, np.ones(100_000, np.uint16))])
    rare = Word(5.0, [(np.arange(0, 100, 10, dtype=np.int32), np.ones(10, np.uint16))])
    seen: list[max_score.Floats] = []

    def add(scores: max_score.Floats, *rest: Any) -> None:
        seen.append(scores)
        _add(scores, *rest)

    _add = max_score._add
    monkeypatch.setattr(max_score, "_add", add)
    found = best_by_words([frequent, rare], norm, 10)
    assert [number for number, _ in found] == list(range(0, 100, 10))
    assert found[0][1] == pytest.approx((5.0 + 0.1) * (K1 + 1) / 2)
    assert np.count_nonzero(seen[-1]) == 10
