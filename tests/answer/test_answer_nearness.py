"""Nearness by meaning: 0 is what questions about something else reach, whatever an embedder's cosines are."""

from collections.abc import Sequence

import numpy as np
import pytest
from made_index import MadeIndex

from luthier.answer.nearness import Nearness
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Chunk, Found, Hit, Question


class Cosines(MadeIndex):
    """A base whose cosines are given: 'a.txt' and 'b.txt' for a question, `ground` for any other."""

    def __init__(self, a: float, b: float, ground: Sequence[float]) -> None:
        super().__init__({"a.txt": "a", "b.txt": "b"}, has_embedder=True)
        self._given, self._others = (a, b), list(ground)
        self.asked: list[str] = []

    def search(self, question: Question | str, how: SearchSpec | None = None) -> Found:
        text = question if isinstance(question, str) else question.text
        self.asked.append(text)
        scores = self._given if text == "mine" else (self._others[len(self.asked) % len(self._others)],)
        hits = [Hit(Chunk(n, f"{'ab'[n]}.txt", "", None), score) for n, score in enumerate(scores)]
        return Found(tuple(hits), 7, 2, 2)


def test_it_is_the_share_of_the_way_from_the_ground_to_one() -> None:
    """By hand: all other questions reach 0.8, so 0.9 is half of the way to 1, and 0.85 without the first document a
    quarter."""
    near = Nearness(Cosines(0.9, 0.85, [0.8]), True)
    assert near.of("mine", SearchSpec()) == pytest.approx(0.5)
    assert near.of("mine", SearchSpec(), ["a.txt"]) == pytest.approx(0.25)
    assert near.of("mine", SearchSpec(), ["a.txt", "b.txt"]) == 0.0


def test_the_ground_is_high_among_other_questions_and_asked_once() -> None:
    index = Cosines(0.5, 0.1, np.linspace(0, 0.4, 10).tolist())
    near = Nearness(index, True)
    ground = float(np.quantile(np.linspace(0, 0.4, 10), 0.9))
    assert near.of("mine", SearchSpec()) == pytest.approx((0.5 - ground) / (1 - ground))
    asked = len(index.asked)
    near.of("mine", SearchSpec())
    assert len(index.asked) == asked + 1


def test_a_question_that_is_no_nearer_than_others_is_not_near() -> None:
    assert Nearness(Cosines(0.3, 0.1, [0.4]), True).of("mine", SearchSpec()) == 0.0


def test_without_an_embedder_nothing_is_asked() -> None:
    index = Cosines(0.9, 0.9, [0.1])
    assert Nearness(index, False).of("mine", SearchSpec()) == 0.0
    assert index.asked == []
