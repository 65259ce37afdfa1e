"""First-fit-decreasing, against its own definition."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.artifact.packs import Packs, first_fit_decreasing, has_packs, padding_share, read_packs, write_packs


def by_definition(lengths: list[int], room: int) -> list[list[int]]:
    """First-fit-decreasing as the books have it (Johnson 1973): one item after the other, the first bin that fits."""
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        for held in bins:
            if sum(lengths[other] for other in held) + lengths[item] <= room:
                held.append(item)
                break
        else:
            bins.append([item])
    return bins


@settings(deadline=None, max_examples=200)
@given(lengths=st.lists(st.integers(1, 20), max_size=60))
def test_rows_hold_what_first_fit_decreasing_puts_into_them(lengths: list[int]) -> None:
    packs = first_fit_decreasing(np.array(lengths, np.int32), 20)
    assert [row.tolist() for row in packs.rows] == [sorted(held) for held in by_definition(lengths, 20)]
    assert len(packs) == len(by_definition(lengths, 20))


def test_a_hand_made_case() -> None:
    packs = first_fit_decreasing(np.array([3, 7, 5, 5, 2]), 10)
    assert [row.tolist() for row in packs.rows] == [[0, 1], [2, 3], [4]]


def test_no_examples_make_no_rows() -> None:
    packs = first_fit_decreasing(np.zeros(0, np.int64), 8)
    assert len(packs) == 0
    assert list(packs.rows) == []


def test_a_longer_example_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="9 tokens does not fit a row of 8"):
        first_fit_decreasing(np.array([9]), 8)


def test_a_plan_comes_back_from_disk(tmp_path: Path) -> None:
    packs = Packs(np.array([2, 0, 1]), np.array([0, 2, 3]))
    assert not has_packs(tmp_path, "train")
    write_packs(tmp_path, "train", packs)
    assert has_packs(tmp_path, "train")
    assert [row.tolist() for row in read_packs(tmp_path, "train").rows] == [[2, 0], [1]]


def test_padding_is_what_a_batch_of_eight_wastes() -> None:
    # 8 rows padded to 4 are 32 places, 1 row of 5 is 5: 37 places for 1 * 7 + 4 + 5 = 16 tokens
    assert padding_share(np.array([1] * 7 + [4, 5])) == pytest.approx(1 - 16 / 37)
    assert padding_share(np.zeros(0, np.int64)) == 0.0


def test_a_million_examples_are_packed_in_seconds() -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(4.6, 0.7, 1_000_000).astype(np.int64), 8, 2048)
    begun = time.process_time()
    packs = first_fit_decreasing(lengths, 2048)
    assert time.process_time() - begun < 10
    filled = np.add.reduceat(lengths[packs.order], packs.ends[:-1])
    assert filled.max() <= 2048
    assert filled.mean() / 2048 > 0.99
