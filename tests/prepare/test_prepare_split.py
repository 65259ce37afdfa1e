"""The split is told by content alone."""

from math import sqrt

import numpy as np
import pytest

from luthier.artifact.example import SPLITS, Example, Message
from luthier.errors import SpecError
from luthier.prepare.facts import FACT, Facts, Flag
from luthier.prepare.spec import SplitSpec
from luthier.prepare.split import deal, fractions, key_hash, key_of, place_hash

CONTENT = SplitSpec(train=0.7, dev=0.2, test=0.1, seed=3)
STRATA = SplitSpec(train=0.7, dev=0.2, test=0.1, stratify=True)


def example(question: str, answer: str = "a", group: str = "") -> Example:
    return Example("x", (Message("user", question), Message("assistant", answer)), "x:1", group)


def facts_of(keys: list[str], spec: SplitSpec = CONTENT, labels: list[int] | None = None) -> Facts:
    facts = np.zeros(len(keys), FACT)
    facts["key"] = [key_hash(key, spec.seed) for key in keys]
    facts["place"] = [place_hash(f"{number} {key}", spec.seed) for number, key in enumerate(keys)]
    facts["label"] = -1 if labels is None else labels
    return facts


def names(facts: Facts, spec: SplitSpec) -> list[str]:
    return [SPLITS[number] for number in deal(facts, spec)]


def test_shares_come_out_as_asked() -> None:
    count = 4_000
    found = names(facts_of([f"q{n}" for n in range(count)]), CONTENT)
    for name, share in (("train", 0.7), ("dev", 0.2), ("test", 0.1)):
        five_sigma = 5 * sqrt(count * share * (1 - share))
        assert abs(found.count(name) - count * share) < five_sigma


def test_adding_rows_and_another_order_move_nothing() -> None:
    keys = [f"q{n}" for n in range(300)]
    few = keys[::-3]
    everywhere = dict(zip(keys, names(facts_of(keys), CONTENT), strict=True))
    assert names(facts_of(few), CONTENT) == [everywhere[key] for key in few]


def test_the_split_of_a_row_is_the_same_on_every_machine_and_day() -> None:
    # `printf 'split 3 q0' | sha256sum`: the first 12 hex digits over 16^12 are 0.832, then 0.030, 0.868, 0.122.
    facts = facts_of([f"q{n}" for n in range(4)])
    assert np.round(fractions(facts["key"]), 3).tolist() == [0.832, 0.030, 0.868, 0.122]
    assert names(facts, CONTENT) == ["dev", "train", "dev", "train"]


def test_another_seed_deals_otherwise() -> None:
    keys, other = [f"q{n}" for n in range(100)], CONTENT.model_copy(update={"seed": 4})
    assert names(facts_of(keys), CONTENT) != names(facts_of(keys, other), other)


def test_one_question_stays_on_one_side_whatever_its_answer_case_width_and_spaces() -> None:
    keys = {key_of(example(question, answer), CONTENT) for question in ("What  now?", "WHAT NOW？ ") for answer in "ab"}
    assert keys == {"what now?"}


def test_of_texts_the_texts_decide_and_of_groups_the_group() -> None:
    text = Example("x", (), "x:1", "g", texts=("One", "Two"), label="yes")
    assert key_of(text, CONTENT) == key_of(Example("y", (), "x:2", "h", texts=("one", "two"), label="no"), CONTENT)
    assert key_of(text, SplitSpec(by="group")) == "g"


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_a_split_without_a_share_gets_nothing(shares: tuple[float, float, float]) -> None:
    spec = SplitSpec(train=shares[0], dev=shares[1], test=shares[2])
    found = names(facts_of([f"q{n}" for n in range(50)]), spec)
    assert set(found) == {("train", "dev", "test")[shares.index(1.0)]}


def test_each_class_is_dealt_by_its_own_shares() -> None:
    labels = [0] * 10 + [1] * 50 + [2] * 100
    found = names(facts_of([f"q{n}" for n in range(160)], STRATA, labels), STRATA)
    counts = [[found[at : at + size].count(name) for name in SPLITS] for at, size in ((0, 10), (10, 50), (60, 100))]
    assert counts == [[7, 2, 1], [35, 10, 5], [70, 20, 10]]


def test_the_order_of_rows_moves_nothing_where_classes_are_dealt_apart() -> None:
    facts = facts_of([f"q{n}" for n in range(90)], STRATA, [n % 3 for n in range(90)])
    shuffled = np.random.default_rng(0).permutation(90)
    assert deal(facts[shuffled], STRATA).tolist() == deal(facts, STRATA)[shuffled].tolist()


def test_one_question_in_two_classes_still_stays_on_one_side() -> None:
    keys = [f"q{n % 30}" for n in range(60)]
    found = names(facts_of(keys, STRATA, [n // 30 for n in range(60)]), STRATA)
    assert found[:30] == found[30:]
    assert set(found) == set(SPLITS)


def test_held_out_rows_count_in_no_quota() -> None:
    facts = facts_of([f"q{n}" for n in range(40)], STRATA, [0] * 40)
    facts["flags"][20:] = Flag.HELD
    found = deal(facts, STRATA)
    assert [np.count_nonzero(found[:20] == number) for number in range(3)] == [14, 4, 2]


def test_rows_without_a_class_cannot_be_dealt_by_class() -> None:
    with pytest.raises(SpecError) as caught:
        deal(facts_of(["q"], STRATA), STRATA)
    assert caught.value.where == "key split.stratify"
    assert "columns.label" in caught.value.mend
