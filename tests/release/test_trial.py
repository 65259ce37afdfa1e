"""A canary's trial is decided by what users asked, and by nothing else."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_chat import FakeModel

from luthier.artifact.order import Order
from luthier.artifact.released import current, history
from luthier.artifact.store import Artifact, Store
from luthier.artifact.traffic import Exchange, Reply, line_of, seal_traffic
from luthier.cli.main import main
from luthier.engine.ports import ChatModel
from luthier.errors import GateError, StoreError
from luthier.event import Event, Judged, hush
from luthier.release.log import promote
from luthier.release.spec import ReleaseSpec, TrialSpec
from luthier.release.trial import settle, traffic_table

SPEC = ReleaseSpec(gate=("a.after > 0",)).model_dump(mode="json")


def release(store: Store, name: str) -> str:
    tuned = store.make(Order("model", "test", 1, {"name": name}), lambda out, work: {}, hush)
    return store.make(Order("release", "test", 1, SPEC, {"tuned": tuned.id}), lambda out, work: {}, hush).id


@pytest.fixture
def pair(store: Store) -> tuple[str, str]:
    stable, canary = release(store, "one"), release(store, "two")
    promote(store, stable, hush)
    promote(store, canary, hush, channel="canary")
    return stable, canary


def exchange(pair: tuple[str, str], number: int, stable: Reply | None, canary: Reply | None) -> Exchange:
    asked = ({"role": "user", "content": f"question {number}"},)
    return Exchange("2026-01-02T03:04:05+00:00", f"r{number}", asked, *pair, stable, canary)


def traffic(store: Store, exchanges: Sequence[Exchange]) -> Artifact:
    path = store.root / "exchanges.jsonl"
    path.write_text("".join(f"{line_of(one)}\n" for one in exchanges), encoding="utf-8")
    return seal_traffic(store, path, hush)


def nobody(name: str) -> ChatModel:
    raise AssertionError(f"{name} is opened for nothing")


GOOD = Reply("a plain answer", "stop", 1.0, 4)
SLOW = Reply("a plain answer", "stop", 9.0, 4)
FAILED = Reply("", "", 0.1, 0, "out of memory")


def test_the_table_holds_means_of_each_side_and_of_pairs(pair: tuple[str, str]) -> None:
    other = Reply("a plain reply", "length", 3.0, 8)
    found = traffic_table(
        [
            exchange(pair, 0, GOOD, other),
            exchange(pair, 1, GOOD, FAILED),
            exchange(pair, 2, None, GOOD),
            exchange(pair, 3, GOOD, None),
        ]
    )["metrics"]
    assert (found["errors"]["before"], found["errors"]["after"]) == (0, pytest.approx(1 / 3))
    assert (found["seconds"]["before"], found["seconds"]["after"]) == (1, 2)
    assert found["seconds"]["gain"] == -1
    assert (found["tokens"]["before"], found["tokens"]["after"]) == (4, 6)
    assert (found["cut"]["before"], found["cut"]["after"]) == (0, 0.5)
    # one pair both answered: 2 of 3 words in common, on both sides
    assert (found["agreement"]["before"], found["agreement"]["after"]) == (None, pytest.approx(2 / 3))


@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_a_canary_as_good_as_the_stable_release_takes_its_place(mode: str, store: Store, pair: tuple[str, str]) -> None:
    both = [exchange(pair, number, GOOD, GOOD) for number in range(60)]
    apart = [
        exchange(pair, number, GOOD if number % 2 else None, None if number % 2 else GOOD) for number in range(120)
    ]
    found = traffic(store, both if mode == "shadow" else apart)
    assert settle(store, found, hush, nobody) == pair[1]
    assert (current(store), current(store, "canary")) == (pair[1], None)
    lines = history(store)[-2:]
    assert [(line.what, line.channel) for line in lines] == [("promote", "stable"), ("rollback", "canary")]
    assert lines[0].why == f"its trial passed ({found.id})"
    assert lines[0].figures["traffic"] == found.id


@pytest.mark.parametrize(("reply", "rule"), [(FAILED, "errors.gain.low"), (SLOW, "seconds.gain.low")])
def test_a_canary_that_fails_or_is_slow_ends_its_trial(
    reply: Reply, rule: str, store: Store, pair: tuple[str, str]
) -> None:
    found = traffic(store, [exchange(pair, number, GOOD, reply if number % 3 else GOOD) for number in range(60)])
    with pytest.raises(GateError) as caught:
        settle(store, found, hush, nobody)
    assert rule in caught.value.what
    assert "the trial has ended" in caught.value.mend
    assert (current(store), current(store, "canary")) == (pair[0], None)
    assert history(store)[-1].why.startswith(f"{found.id}: ")


SPEAKS = Reply("question of the bridge", "stop", 1.0, 4)
JUDGED = {"judge": "offline", "gate": ["relevance.gain.low >= -0.5"]}


def judged_pair(store: Store, **trial: object) -> tuple[str, str]:
    spec = ReleaseSpec(gate=("a.after > 0",), trial=TrialSpec.model_validate(JUDGED | trial)).model_dump(mode="json")
    stable = release(store, "one")
    tuned = store.make(Order("model", "test", 1, {"name": "judged"}), lambda out, work: {}, hush)
    canary = store.make(Order("release", "test", 1, spec, {"tuned": tuned.id}), lambda out, work: {}, hush).id
    promote(store, stable, hush)
    promote(store, canary, hush, channel="canary")
    return stable, canary


def test_a_judge_weighs_how_much_answers_speak_to_the_question(store: Store, told: list[Event]) -> None:
    pair = judged_pair(store)
    # the offline judge: half of "question N" is spoken of, or nothing; 3 and 1 of 5
    lines = [exchange(pair, number, SPEAKS, GOOD) for number in range(60)]
    with pytest.raises(GateError) as caught:
        settle(store, traffic(store, lines), told.append, nobody)
    assert "relevance.gain.low >= -0.5: -2 >= -0.5" in caught.value.what
    assert current(store, "canary") is None
    table = history(store)[-1].figures["table"]
    assert (table["metrics"]["relevance"]["before"], table["metrics"]["relevance"]["after"]) == (3, 1)
    assert table["unjudged"] == {"stable": {"relevance": 0}, "canary": {"relevance": 0}}
    assert [event.value for event in told if isinstance(event, Judged)][1] == (
        "0 without relevance, 0 without relevance, of 60"
    )


def test_a_model_judges_the_pairs_and_what_it_cannot_judge_fails(store: Store) -> None:
    replies = iter(['{"reason": "yes", "score": 4}'] * 119 + ["I would not know"] * 2)
    model = FakeModel(lambda asked: next(replies))
    judge = store.make(Order("model", "test", 1, {"name": "judge"}), lambda out, work: {}, hush).id
    pair = judged_pair(store, judge=judge)
    lines = [exchange(pair, number, SPEAKS, GOOD) for number in range(60)]
    with pytest.raises(GateError) as caught:
        settle(store, traffic(store, lines), hush, lambda name: {judge: model}[name])
    assert "every answer of heldout was judged: 0 without relevance, 1 without relevance, of 60" in caught.value.what
    assert model.closed == 1


def test_too_few_requests_decide_nothing_and_the_trial_goes_on(store: Store, pair: tuple[str, str]) -> None:
    with pytest.raises(GateError) as caught:
        settle(store, traffic(store, [exchange(pair, number, GOOD, GOOD) for number in range(49)]), hush, nobody)
    assert caught.value.what == "49 requests to the canary decide nothing, 50 do"
    assert current(store, "canary") == pair[1]
    assert len(history(store)) == 2


def test_traffic_of_releases_that_are_not_in_service_is_refused(store: Store, pair: tuple[str, str]) -> None:
    found = traffic(store, [exchange(pair, number, GOOD, GOOD) for number in range(60)])
    settle(store, found, hush, nobody)
    with pytest.raises(StoreError) as caught:
        settle(store, found, hush, nobody)
    assert caught.value.where == str(found.folder)
    assert "--log" in caught.value.mend


def test_the_word_takes_a_file_that_a_server_still_writes(
    store: Store, pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "now.jsonl"
    lines = [line_of(exchange(pair, number, GOOD, GOOD)) for number in range(60)]
    path.write_text("\n".join([*lines, lines[0][:30]]), encoding="utf-8")
    main(["--project", str(store.root), "release", "--from", str(path)])
    assert capsys.readouterr().out.strip() == pair[1]
    assert current(store) == pair[1]
