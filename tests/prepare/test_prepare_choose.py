"""What is told of all rows together: duplicates, held-out rows, limits, the mix."""

from typing import Any

import numpy as np
import pytest

from luthier.event import Chose, Event, Warned, hush
from luthier.prepare.choose import Choice, Chosen, choose, duplicates, ledger_weights
from luthier.prepare.dropped import Dropped
from luthier.prepare.facts import FACT, Facts, Flag
from luthier.prepare.spec import CleanSpec, LengthSpec, LimitSpec, MixSpec, PrepareSpec, SetSpec, SplitSpec
from luthier.prepare.split import key_hash, place_hash

ALL = SplitSpec(train=1, dev=0, test=0)
TWO = (SetSpec(source="a"), SetSpec(source="b"))


def facts_of(count: int, **fields: Any) -> Facts:
    facts = np.zeros(count, FACT)
    facts["id"] = [place_hash(f"id {n}", 0) for n in range(count)]
    facts["place"] = [place_hash(f"{n}", 0) for n in range(count)]
    facts["key"] = [key_hash(f"{n}", 0) for n in range(count)]
    facts["line"] = np.arange(count)
    facts["tokens"], facts["label"], facts["weight"] = 10, -1, 1
    for name, values in fields.items():
        facts[name] = values
    return facts


def choice_of(facts: Facts, tags: tuple[str, ...] = ("",)) -> Choice:
    return Choice(facts, tags, Dropped(), lambda row: f"a.json:{row}")


def chosen_of(choice: Choice, spec: PrepareSpec, **more: Any) -> Chosen:
    return choose(choice, spec, ("a", "b"), more.get("near"), more.get("tell", hush))


def test_identical_rows_are_kept_once_and_counted_with_their_places() -> None:
    choice = choice_of(facts_of(4, id=[7, 5, 7, 7], place=[1, 2, 1, 1], key=0))
    chosen = chosen_of(choice, PrepareSpec(source="a", split=ALL))
    assert chosen.splits["train"].tolist() == [0, 1]
    assert choice.dropped.counts == {"duplicate": 2}
    assert choice.dropped.first == {"duplicate": [("a.json:2", "duplicate"), ("a.json:3", "duplicate")]}
    assert (choice.facts["flags"] & Flag.DUPLICATE).astype(bool).tolist() == [False, False, True, True]


def test_identical_rows_are_all_kept_where_they_are_meant() -> None:
    choice = choice_of(facts_of(3, id=7))
    spec = PrepareSpec(source="a", split=ALL, clean=CleanSpec(exact_duplicates="keep"))
    assert chosen_of(choice, spec).splits["train"].tolist() == [0, 1, 2]
    assert not choice.dropped.counts


@pytest.mark.parametrize("turned", [False, True])
def test_which_of_two_duplicates_stays_does_not_hang_on_their_order(turned: bool) -> None:
    facts = facts_of(3, id=7, group=[5, 4, 9], tag=[0, 1, 0], flags=[0, 0, Flag.HELD])
    order = [2, 1, 0] if turned else [0, 1, 2]
    without_held = order[1:] if turned else order[:2]
    for rows, winner in ((order, 9), (without_held, 4)):
        choice = choice_of(facts[rows], ("z", "y"))
        left = np.setdiff1d(np.arange(len(rows)), duplicates(choice))
        assert choice.facts["group"][left].tolist() == [winner]


def test_a_limit_counts_each_tag_apart_and_takes_the_first_in_the_stable_order() -> None:
    facts = facts_of(10, tag=[n % 2 for n in range(10)])
    choice = choice_of(facts, ("", "recall"))
    chosen = chosen_of(choice, PrepareSpec(source="a", split=ALL, limit=LimitSpec(train=2)))
    first = [np.argsort(facts["place"][tag::2])[:2] * 2 + tag for tag in (0, 1)]
    assert chosen.splits["train"].tolist() == sorted(np.concatenate(first).tolist())
    assert choice.dropped.counts == {"over the limit": 6}


def test_dropped_rows_do_not_use_up_the_limit() -> None:
    facts = facts_of(3, place=[0, 1, 2], flags=[Flag.UNSUPERVISED, Flag.TOO_LONG, 0])
    choice = choice_of(facts)
    spec = PrepareSpec(source="a", split=ALL, limit=LimitSpec(train=1), length=LengthSpec(when_longer="drop"))
    assert chosen_of(choice, spec).splits["train"].tolist() == [2]
    assert choice.dropped.counts == {"nothing left to learn": 1, "too long": 1}


def test_tokens_are_taken_up_to_the_bound_and_the_first_beyond_it_ends_the_taking() -> None:
    for bound, wanted in ((100, [0, 1]), (99, [0]), (39, [])):
        choice = choice_of(facts_of(4, place=range(4), tokens=[40, 60, 1, 1]))
        chosen = chosen_of(choice, PrepareSpec(source="a", split=ALL, max_train_tokens=bound))
        assert chosen.splits["train"].tolist() == wanted
        assert choice.dropped.counts == {"over max_train_tokens": 4 - len(wanted)}


def test_a_row_without_weight_is_left_out_before_its_duplicates_are_looked_for() -> None:
    choice = choice_of(facts_of(3, id=[7, 7, 8], weight=[0, 0.5, 1]))
    assert chosen_of(choice, PrepareSpec(source="a", split=ALL)).splits["train"].tolist() == [1, 2]
    assert choice.dropped.counts == {"weight 0": 1}


def test_a_ledger_weighs_rows_by_their_ids() -> None:
    facts = facts_of(4, id=[0xA, 0xB, 0xC, 0xA])
    ledger = {"000000000000000a": 0.5, "00000000000000ff": 9.0}
    assert ledger_weights(facts, ledger, "ledger.jsonl").tolist() == [0.5, 1, 1, 0.5]
    assert ledger_weights(facts, {}, "").tolist() == [1, 1, 1, 1]


def test_held_out_rows_follow_their_group_into_the_test_split_where_it_is_trained_on() -> None:
    keys = [key_hash(f"g{n % 60}", 0) for n in range(120)]
    facts = facts_of(120, key=keys, group=np.arange(120) % 60 + 1, flags=[0] * 60 + [int(Flag.HELD)] * 60)
    choice = choice_of(facts)
    chosen = chosen_of(choice, PrepareSpec(source="a", split=SplitSpec(train=0.7, dev=0.2, test=0.1)))
    held = [row for row in chosen.splits["test"].tolist() if row >= 60]
    assert held == [row + 60 for row in chosen.splits["train"].tolist()]
    assert choice.dropped.counts["held out, its group is in dev"] == len(chosen.splits["dev"]) > 0
    assert choice.dropped.counts["held out, its group is in test"] == len(chosen.splits["test"]) - len(held) > 0


def test_held_out_rows_stay_only_where_a_limit_left_their_group_in_train() -> None:
    facts = facts_of(4, place=range(4), key=0, group=[1, 2, 1, 2], flags=[0, 0, Flag.HELD, Flag.HELD])
    choice = choice_of(facts)
    chosen = chosen_of(choice, PrepareSpec(source="a", split=ALL, limit=LimitSpec(train=1)))
    assert chosen.splits["test"].tolist() == [2]
    assert choice.dropped.counts == {"over the limit": 1, "held out, its group is not trained on": 1}


def test_near_duplicates_are_looked_for_among_what_is_left_and_not_held_out() -> None:
    asked: list[list[int]] = []

    def near(rows: Any, facts: Facts, share: float) -> Any:
        asked.append(rows.tolist())
        assert share == 0.8
        return np.array([True, False])

    choice = choice_of(facts_of(4, id=[1, 1, 2, 3], flags=[0, 0, 0, Flag.HELD]))
    spec = PrepareSpec(source="a", split=ALL, clean=CleanSpec(near_duplicates=0.8))
    chosen = chosen_of(choice, spec, near=near)
    assert asked == [[0, 2]]
    assert chosen.splits["train"].tolist() == [0]
    assert choice.dropped.counts["near duplicate"] == 1


def test_sets_are_mixed_by_weight_and_the_small_one_is_repeated(told: list[Event]) -> None:
    sets = (SetSpec(source="a", weight=1), SetSpec(source="b", weight=1))
    spec = PrepareSpec(sets=sets, split=ALL, mix=MixSpec(by="weight", until="all"))
    choice = choice_of(facts_of(12, set=[0] * 10 + [1] * 2))
    chosen = chosen_of(choice, spec, tell=told.append)
    train = chosen.splits["train"].tolist()
    assert train == sorted(train)
    assert [train.count(row) for row in range(12)] == [1] * 10 + [5] * 2
    assert Chose("mix of b", "5.00 epochs: 10 rows of 2", why="mix.by=weight, until=all") in told
    assert [event.what for event in told if isinstance(event, Warned)] == [
        "b is repeated 5.0 times: that teaches by heart"
    ]


def test_until_first_thins_out_the_large_set_stably() -> None:
    sets = (SetSpec(source="a", weight=1), SetSpec(source="b", weight=1))
    spec = PrepareSpec(sets=sets, split=ALL, mix=MixSpec(by="weight", until="first"))
    facts = facts_of(12, set=[0] * 10 + [1] * 2)
    choice = choice_of(facts)
    train = chosen_of(choice, spec).splits["train"].tolist()
    assert train == [*sorted(np.argsort(facts["place"][:10])[:2].tolist()), 10, 11]
    assert choice.dropped.counts == {"thinned out by the mix": 8}


def test_a_budget_of_tokens_takes_a_mixed_beginning_of_the_mix() -> None:
    sets = (SetSpec(source="a", weight=3), SetSpec(source="b", weight=1))
    spec = PrepareSpec(sets=sets, split=ALL, mix=MixSpec(by="weight"), max_train_tokens=400)
    train = chosen_of(choice_of(facts_of(100, set=[0] * 60 + [1] * 40)), spec).splits["train"]
    assert np.count_nonzero(train < 60) == 30
    assert np.count_nonzero(train >= 60) == 10
