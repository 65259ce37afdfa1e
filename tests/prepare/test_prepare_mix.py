"""How often each set is gone through: against hand calculations."""

import numpy as np
import pytest

from luthier.prepare.mix import interleaved, portions
from luthier.prepare.spec import MixSpec


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        (MixSpec(by="rows"), [900, 100]),
        (MixSpec(by="weight", until="all"), [900, 300]),  # 3 : 1, until the 900 are used up
        (MixSpec(by="weight", until="first"), [300, 100]),  # 3 : 1, until the 100 are
        (MixSpec(by="temperature", temperature=1), [900, 100]),
        (MixSpec(by="temperature", temperature=2, until="all"), [900, 300]),  # sqrt(900) : sqrt(100) = 3 : 1
        (MixSpec(by="temperature", temperature=2, until="first"), [300, 100]),
    ],
)
def test_portions(spec: MixSpec, taken: list[int]) -> None:
    found = portions(("a", "b"), (900, 100), (3.0, 1.0), spec)
    assert [one.taken for one in found] == taken
    assert [one.epochs for one in found] == [taken[0] / 900, taken[1] / 100]


def test_a_set_without_rows_gives_none_and_stops_nobody() -> None:
    found = portions(("a", "b", "c"), (10, 0, 5), (1.0, 1.0, 1.0), MixSpec(by="weight", until="first"))
    assert [one.taken for one in found] == [5, 0, 5]
    assert [one.taken for one in portions(("a",), (0,), (1.0,), MixSpec(by="weight"))] == [0]


def test_any_beginning_of_the_whole_is_mixed_like_the_whole() -> None:
    plan = portions(("a", "b"), (300, 50), (3.0, 1.0), MixSpec(by="weight", until="all"))
    set_of = np.array([0] * 300 + [1] * 50)
    mixed = interleaved(np.arange(350), set_of, plan)
    assert len(mixed) == 400
    for length in (40, 100, 240):
        assert abs(np.count_nonzero(mixed[:length] >= 300) - length / 4) <= 1
    assert np.bincount(mixed)[300:].tolist() == [2] * 50


def test_each_epoch_of_a_set_is_whole_before_the_next_begins() -> None:
    plan = portions(("a", "b"), (6, 2), (1.0, 1.0), MixSpec(by="weight"))
    mixed = interleaved(np.array([0, 1, 2, 3, 4, 5, 7, 6]), np.array([0] * 6 + [1] * 2), plan)
    assert [row for row in mixed.tolist() if row >= 6] == [7, 6, 7, 6, 7, 6]
