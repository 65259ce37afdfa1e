"""Channels: what is tried beside the stable release never becomes it by itself."""

from pathlib import Path

import pytest

from luthier.artifact.order import Order
from luthier.artifact.released import current, history, kept
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.event import Event, Said, Warned, hush
from luthier.release.log import promote, rollback, was_promoted


def release(store: Store, name: str) -> str:
    tuned = store.make(Order("model", "test", 1, {"name": name}), lambda out, work: {}, hush)
    order = Order("release", "test", 1, {}, {"tuned": tuned.id})
    made: Artifact = store.make(order, lambda out, work: {}, hush)
    return made.id


def test_a_canary_stands_beside_the_stable_release(store: Store, told: list[Event]) -> None:
    one, two = release(store, "one"), release(store, "two")
    promote(store, one, hush)
    promote(store, two, told.append, channel="canary")
    assert (current(store), current(store, "canary")) == (one, two)
    assert told == [Said(f"{two} is current as canary now (by hand); luthier serve serves it")]
    assert [(line.what, line.channel) for line in history(store)] == [("promote", "stable"), ("promote", "canary")]
    assert set(kept(store)) == {one, two}
    assert was_promoted(store, two, "canary")
    assert not was_promoted(store, two, "stable")


def test_going_back_from_a_canary_ends_the_trial_and_leaves_the_stable_release(store: Store, told: list[Event]) -> None:
    one, two, three = (release(store, name) for name in ("one", "two", "three"))
    promote(store, one, hush)
    for name in (two, three):
        promote(store, name, hush, channel="canary")
    assert rollback(store, told.append, "slow", channel="canary") is None
    assert (current(store), current(store, "canary")) == (one, None)
    assert history(store)[-1].why == f"slow, from {three}"
    assert not [event for event in told if isinstance(event, Warned)]
    with pytest.raises(StoreError) as caught:
        rollback(store, hush, channel="canary")
    assert caught.value.what == "nothing is released as canary: there is nothing to go back from"


def test_a_canary_can_become_the_stable_release(store: Store) -> None:
    one, two = release(store, "one"), release(store, "two")
    promote(store, one, hush)
    promote(store, two, hush, channel="canary")
    promote(store, two, hush)
    assert current(store) == two
    assert rollback(store, hush) == one
    assert current(store, "canary") == two


def test_a_log_without_anything_has_no_release(store: Store, tmp_path: Path) -> None:
    assert (current(store), current(store, "canary"), kept(store)) == (None, None, ())
