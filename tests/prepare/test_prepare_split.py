"""The split is told by content alone."""

import random
from collections import Counter
from math import sqrt

import pytest

from luthier.artifact.example import Example, Message
from luthier.prepare.gather import Candidate, content_id
from luthier.prepare.spec import HoldOutSpec, SplitSpec
from luthier.prepare.split import deal, in_stable_order, key_of, recallable, split_of

CONTENT = SplitSpec(train=0.7, dev=0.2, test=0.1, seed=3)
GROUP = SplitSpec(train=0.7, dev=0.2, test=0.1, by="group", hold_out=HoldOutSpec(where={"x": 1}, tag="recall"))


def example(question: str, answer: str = "a", group: str = "") -> Example:
    messages = (Message("user", question), Message("assistant", answer))
    return Example(content_id(messages), messages, "x:1", group)


def where_each_is(candidates: list[Candidate], spec: SplitSpec) -> dict[str, str]:
    dealt = deal(candidates, spec, Counter())
    return {found.id: name for name, examples in dealt.splits.items() for found in examples}


def test_shares_come_out_as_asked() -> None:
    count = 4_000
    dealt = deal([Candidate(example(f"q{n}"), False) for n in range(count)], CONTENT, Counter())
    for name, share in (("train", 0.7), ("dev", 0.2), ("test", 0.1)):
        five_sigma = 5 * sqrt(count * share * (1 - share))
        assert abs(len(dealt.splits[name]) - count * share) < five_sigma


def test_adding_rows_and_another_order_move_nothing() -> None:
    many = [Candidate(example(f"q{n}"), False) for n in range(300)]
    few = many[::3]
    random.Random(1).shuffle(few)
    all_places, few_places = where_each_is(many, CONTENT), where_each_is(few, CONTENT)
    assert len(few_places) == 100
    assert all(all_places[name] == place for name, place in few_places.items())


def test_the_split_of_a_row_is_the_same_on_every_machine_and_day() -> None:
    # `printf 'split 3 q0' | sha256sum`: the first 12 hex digits over 16^12 are 0.832, then 0.030, 0.868, 0.122.
    assert [split_of(f"q{n}", CONTENT) for n in range(4)] == ["dev", "train", "dev", "train"]


def test_another_seed_deals_otherwise() -> None:
    rows = [Candidate(example(f"q{n}"), False) for n in range(100)]
    assert where_each_is(rows, CONTENT) != where_each_is(rows, SplitSpec(train=0.7, dev=0.2, test=0.1, seed=4))


def test_one_question_stays_on_one_side_whatever_its_answer_case_width_and_spaces() -> None:
    keys = {key_of(example(question, answer), CONTENT) for question in ("What  now?", "WHAT NOW？ ") for answer in "ab"}
    assert keys == {"what now?"}


def test_a_group_stays_together() -> None:
    rows = [Candidate(example(f"q{n}", group=f"g{n % 40}"), False) for n in range(400)]
    places = where_each_is(rows, GROUP)
    by_group: dict[str, set[str]] = {}
    for row in rows:
        by_group.setdefault(row.example.group, set()).add(places[row.example.id])
    assert len(by_group) == 40
    assert all(len(found) == 1 for found in by_group.values())
    assert {name for found in by_group.values() for name in found} == {"train", "dev", "test"}


def test_held_out_rows_follow_their_group_into_train_only() -> None:
    groups = [f"g{n}" for n in range(60)]
    rows = [Candidate(example(f"q {group}", group=group), False) for group in groups]
    held = [Candidate(example(f"reworded {group}", group=group), True) for group in groups]
    dropped: Counter[str] = Counter()
    dealt = deal(rows + held, GROUP, dropped)
    trained = {found.group for found in dealt.splits["train"]}
    assert trained
    assert {found.group for found in dealt.held} == trained
    assert dropped["held out, its group is in dev"] == len(dealt.splits["dev"]) > 0
    assert dropped["held out, its group is in test"] == len(dealt.splits["test"]) > 0
    assert not any(found.messages[0].content.startswith("reworded") for s in dealt.splits.values() for found in s)


def test_held_out_rows_stay_only_where_their_group_was_really_trained_on() -> None:
    dropped: Counter[str] = Counter()
    held = [example("r1", group="a"), example("r2", group="b")]
    assert recallable(held, [example("q", group="a")], dropped) == held[:1]
    assert dropped == {"held out, its group is not trained on": 1}


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_a_split_without_a_share_gets_nothing(shares: tuple[float, float, float]) -> None:
    spec = SplitSpec(train=shares[0], dev=shares[1], test=shares[2])
    assert {split_of(f"q{n}", spec) for n in range(50)} == {("train", "dev", "test")[shares.index(1.0)]}


def test_the_stable_order_keeps_its_order_when_rows_are_left_out() -> None:
    rows = [example(f"q{n}") for n in range(100)]
    ordered = in_stable_order(rows, seed=0)
    assert in_stable_order(rows[::-2], seed=0) == [found for found in ordered if found in rows[::-2]]
    assert ordered != rows
    assert in_stable_order(rows, seed=1) != ordered
