"""Signatures estimate the exact Jaccard similarity; what stays does not hang on the order of the rows."""

import random
from pathlib import Path

import numpy as np
import pytest

from luthier.artifact.example import Example, Message
from luthier.measure.words import words
from luthier.prepare.clean.near import SLOTS, leaders, signatures, slots_a_band, text_of


def keep(signed: np.ndarray, order: np.ndarray, share: float) -> np.ndarray:
    """Tell which rows stay: those that lead the ones like them."""
    return leaders(signed, order, share) == np.arange(len(order))  # type: ignore[no-any-return]


def jaccard(one: str, other: str) -> float:
    """Exact, by sets of three words in a row, two edges before and after."""
    sets = []
    for text in (one, other):
        row = ["", "", *words(text), "", ""]
        sets.append({tuple(row[place : place + 3]) for place in range(len(row) - 2)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def texts_like(rng: random.Random, text: list[str], changed: int) -> str:
    new = list(text)
    for place in rng.sample(range(len(text)), changed):
        new[place] = f"new{rng.randrange(10**6)}"
    return " ".join(new)


@pytest.mark.parametrize("length", [3, 12, 100])
def test_signatures_estimate_the_exact_jaccard_similarity(length: int) -> None:
    rng = random.Random(length)
    pairs = []
    for _ in range(300):
        text = [f"w{rng.randrange(5000)}" for _ in range(length)]
        pairs.append((" ".join(text), texts_like(rng, text, rng.randrange(length // 4 + 2))))
    signed = signatures([text for pair in pairs for text in pair])
    errors = [(signed[2 * place] == signed[2 * place + 1]).mean() - jaccard(*pair) for place, pair in enumerate(pairs)]
    # The deviation of a share of 128 independent slots is at most 0.5 / sqrt(128) = 0.044
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.05


def test_signatures_do_not_hang_on_their_neighbours() -> None:
    texts = ["今天天气很好", "", "one", "a b c d e", "!!!", "one"]
    signed = signatures(texts)
    assert signed.shape == (6, SLOTS)
    assert signed.dtype == np.uint32
    for text, row in zip(texts, signed, strict=True):
        assert np.array_equal(signatures([text])[0], row)
    assert signatures([]).shape == (0, SLOTS)


def test_bands_find_99_in_100_pairs_at_the_threshold() -> None:
    # Leskovec, Rajaraman, Ullman, 3.4.2: a pair shares a band with probability 1 - (1 - s^r)^b
    for threshold in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        slots = slots_a_band(threshold)
        assert 1 - (1 - threshold**slots) ** (SLOTS // slots) >= 0.99
    assert slots_a_band(1.0) == SLOTS


def rows_of_copies(seed: int) -> list[str]:
    """Give 40 texts of 120 words, each with two copies in which two words differ."""
    rng = random.Random(seed)
    rows = []
    for _ in range(40):
        text = [f"w{rng.randrange(5000)}" for _ in range(120)]
        rows += [" ".join(text), texts_like(rng, text, 1), texts_like(rng, text, 1)]
    return rows


def test_of_rows_that_are_alike_the_first_in_the_given_order_stays() -> None:
    rows = rows_of_copies(1)
    places = np.random.default_rng(0).permutation(len(rows)).astype(np.uint64)
    stays = keep(signatures(rows), places, 0.8)
    expected = [3 * group + int(places[3 * group : 3 * group + 3].argmin()) for group in range(40)]
    assert np.flatnonzero(stays).tolist() == expected


def test_what_stays_does_not_hang_on_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = rows_of_copies(2)
    places = np.random.default_rng(1).integers(0, 2**63, len(rows)).astype(np.uint64)
    signed = signatures(rows)
    stays = keep(signed, places, 0.7)
    shuffled = np.random.default_rng(2).permutation(len(rows))
    mapped = np.memmap(tmp_path / "signatures", np.uint32, "w+", shape=signed.shape)
    mapped[:] = signed[shuffled]
    mapped.flush()
    assert np.array_equal(keep(mapped, places[shuffled], 0.7), stays[shuffled])
    assert np.array_equal(
        keep(mapped[9:], places[shuffled][9:], 0.7), keep(signed[shuffled][9:], places[shuffled][9:], 0.7)
    )


def test_leaders_name_the_row_that_stays() -> None:
    found = leaders(signatures(["a b c d e", "x y z", "A b c d e."]), np.array([5, 1, 3], np.uint64), 0.9)
    assert found.tolist() == [2, 1, 2]


def test_rows_that_differ_stay_and_so_do_rows_without_words() -> None:
    rows = ["What is 5 plus 5?", "What is 6 plus 6?", "!!", "??", "", "给出三个提示", "给出五个建议"]
    assert keep(signatures(rows), np.arange(len(rows), dtype=np.uint64), 0.8).all()


def test_at_1_only_rows_with_the_same_words_are_alike() -> None:
    rows = ["a b c d e f g", "A b, c d e f g!", "a b c d e f h"]
    assert keep(signatures(rows), np.arange(3, dtype=np.uint64), 1.0).tolist() == [True, False, True]


def test_a_chain_of_rows_that_are_alike_leaves_one() -> None:
    first = [f"w{number}" for number in range(200)]
    rows = [" ".join(["new"] * step + first[step:]) for step in range(0, 60, 4)]
    assert jaccard(rows[0], rows[-1]) < 0.7
    assert keep(signatures(rows), np.arange(len(rows), dtype=np.uint64), 0.8).sum() == 1


def test_no_rows_leave_none() -> None:
    assert keep(signatures([]), np.empty(0, np.uint64), 0.8).tolist() == []


def test_the_system_prompt_does_not_make_rows_alike() -> None:
    row = Example("1", (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Ho")), "a:1")
    assert text_of(row) == "Hi\nHo"
