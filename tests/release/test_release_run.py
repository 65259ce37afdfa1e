import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.chain import head_path
from luthier.artifact.order import Kind, Order
from luthier.artifact.released import current, history, log_path
from luthier.artifact.store import Artifact, Store
from luthier.errors import GateError, KindError, SpecError, StoreError
from luthier.event import Event, Judged, Said, Warned, hush
from luthier.release.log import promote, rollback
from luthier.release.run import release
from luthier.release.spec import ReleaseSpec
from luthier.spec import make

PASSING = ReleaseSpec(gate=("rouge_l.after >= 0.30", "rouge_l.gain.low > 0"))
FIGURES = {"before": 0.2, "after": 0.35, "gain": 0.15, "low": 0.1, "high": 0.2}
TABLE = {"heldout": {"rows": 100, "groups": 100, "metrics": {"rouge_l": FIGURES}}}


def made(store: Store, kind: Kind, name: str, inputs: Mapping[str, str], figures: Mapping[str, Any]) -> Artifact:
    return store.make(Order(kind, "test", 1, {"name": name}, inputs), lambda out, work: figures, hush)


def tuned_and_scores(store: Store, name: str = "one") -> tuple[Artifact, Artifact]:
    base = made(store, "model", "base", {}, {})
    tuned = made(store, "adapter", name, {"model": base.id}, {})
    inputs = {"base": base.id, "tuned": tuned.id, "data": "examples-0"}
    return tuned, made(store, "scores", name, inputs, TABLE)


def released(store: Store, name: str) -> str:
    return release(PASSING, *tuned_and_scores(store, name), None, store, hush).id


def what_was_decided(store: Store) -> list[tuple[str, str]]:
    return [(decision.what, decision.release) for decision in history(store)]


def test_a_model_that_passes_is_released_and_current_with_its_figures(store: Store, told: list[Event]) -> None:
    tuned, scores = tuned_and_scores(store)
    found = release(PASSING, tuned, scores, None, store, told.append)
    assert found.kind == "release"
    assert current(store) == found.id
    assert [event for event in told if isinstance(event, Judged)] == [
        Judged("rouge_l.after >= 0.30", "0.35 >= 0.3 (rouge_l.after = 0.35)", True),
        Judged("rouge_l.gain.low > 0", "0.1 > 0 (rouge_l.gain.low = 0.1)", True),
    ]
    paper = json.loads((found.folder / "release.json").read_text(encoding="utf-8"))
    assert (paper["model"], paper["base"], paper["evaluation"]) == (tuned.id, tuned.order.inputs["model"], scores.id)
    assert paper["scores"] == TABLE
    assert [rule["passed"] for rule in found.card.figures["rules"]] == [True, True]
    decision = history(store)[0]
    assert (decision.what, decision.release, decision.tuned, decision.why) == (
        "promote", found.id, tuned.id, "the gate passed"
    )  # fmt: skip
    assert "@" in decision.who
    assert decision.when.endswith("+00:00")
    assert decision.figures["scores"] == TABLE


def test_a_refusal_names_every_failed_rule_with_its_figures_and_leaves_a_line_but_no_release(store: Store) -> None:
    tuned, scores = tuned_and_scores(store)
    spec = ReleaseSpec(gate=("rouge_l.after >= 0.9", "rouge_l.gain > 0", "rouge_l.gain.low > 0.2"))
    with pytest.raises(GateError) as caught:
        release(spec, tuned, scores, None, store, hush)
    assert caught.value.what == (
        f"the gate refuses {tuned.id}, 2 of 3 rules fail: rouge_l.after >= 0.9: 0.35 >= 0.9 (rouge_l.after = 0.35); "
        "rouge_l.gain.low > 0.2: 0.1 > 0.2 (rouge_l.gain.low = 0.1)"
    )
    assert len(str(caught.value).splitlines()) == 3
    assert caught.value.where == str(scores.folder / "report.html")
    assert "tune longer or on better rows" in caught.value.mend
    assert [card.kind for card in store.cards() if card.kind == "release"] == []
    assert current(store) is None
    line = history(store)[0]
    assert (line.what, line.tuned) == ("refuse", tuned.id)
    assert [rule["passed"] for rule in line.figures["rules"]] == [False, True, False]


def test_every_refusal_is_a_line_and_none_changes_what_is_current(store: Store) -> None:
    first = released(store, "one")
    for _ in range(2):
        with pytest.raises(GateError):
            release(ReleaseSpec(gate=("rouge_l.after > 1",)), *tuned_and_scores(store, "two"), None, store, hush)
    assert [what for what, _ in what_was_decided(store)] == ["promote", "refuse", "refuse"]
    assert current(store) == first


def test_a_second_release_makes_and_promotes_nothing(store: Store) -> None:
    assert released(store, "one") == released(store, "one")
    assert len(history(store)) == 1


def test_scores_of_another_model_are_refused(store: Store) -> None:
    tuned, _ = tuned_and_scores(store, "one")
    other, scores = tuned_and_scores(store, "two")
    with pytest.raises(KindError) as caught:
        release(PASSING, tuned, scores, None, store, hush)
    assert caught.value.where == "input 'scores'"
    assert caught.value.mend == f"evaluate {tuned.id} first, or release {other.id}"


def test_what_is_no_scores_is_refused(store: Store) -> None:
    tuned, _ = tuned_and_scores(store)
    with pytest.raises(KindError) as caught:
        release(PASSING, tuned, tuned, None, store, hush)
    assert caught.value.where == "input 'scores'"
    assert caught.value.mend == "give an id that begins with scores-"


def test_a_dry_store_plans_the_id_and_decides_nothing(tmp_path: Path) -> None:
    wet, dry = Store(tmp_path / "wet"), Store(tmp_path / "dry", dry=True)
    assert released(dry, "one") == released(wet, "one")
    assert not log_path(dry).exists()


def test_rolling_back_goes_to_the_release_before_and_promoting_goes_forth_again(
    store: Store, told: list[Event]
) -> None:
    first, second = released(store, "one"), released(store, "two")
    assert current(store) == second
    assert rollback(store, told.append) == first
    assert current(store) == first
    assert promote(store, second, told.append) == second
    assert current(store) == second
    assert [what for what, _ in what_was_decided(store)] == ["promote", "promote", "rollback", "promote"]
    assert [event.text.split()[0] for event in told if isinstance(event, Said)] == [first, second]


def test_a_release_that_was_rolled_back_is_left_alone_by_the_recipe_which_says_how_to_promote_it(
    store: Store, told: list[Event]
) -> None:
    first, second = released(store, "one"), released(store, "two")
    rollback(store, hush)
    assert release(PASSING, *tuned_and_scores(store, "two"), None, store, told.append).id == second
    assert current(store) == first
    warned = [event for event in told if isinstance(event, Warned)]
    assert [event.mend for event in warned] == [f"luthier release --promote {second}"]
    assert len(history(store)) == 3


def test_rolling_back_the_only_release_leaves_none_and_says_so(store: Store, told: list[Event]) -> None:
    only = released(store, "one")
    assert rollback(store, told.append) is None
    assert current(store) is None
    assert [event.mend for event in told if isinstance(event, Warned)] == [f"luthier release --promote {only}"]


def test_rolling_back_nothing_is_an_error_with_a_mend(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        rollback(store, hush)
    assert caught.value.where == str(log_path(store))
    assert "luthier release" in caught.value.mend
    assert not log_path(store).exists()


def test_rolling_back_skips_a_release_that_was_removed(store: Store) -> None:
    first, second, third = (released(store, name) for name in ("one", "two", "three"))
    store.remove(second, released=(third,))
    assert rollback(store, hush) == first
    assert current(store) == first


def test_a_release_promoted_again_later_is_rolled_back_to_what_was_before_it(store: Store) -> None:
    first, second = released(store, "one"), released(store, "two")
    promote(store, first, hush)
    assert rollback(store, hush) == second
    assert rollback(store, hush) == first


def test_promoting_what_is_current_writes_nothing(store: Store, told: list[Event]) -> None:
    only = released(store, "one")
    assert promote(store, only, told.append) == only
    assert len(history(store)) == 1
    assert told == [Said(f"{only} is current already")]


def test_only_releases_can_be_promoted(store: Store) -> None:
    tuned, _ = tuned_and_scores(store)
    with pytest.raises(KindError) as caught:
        promote(store, tuned.id, hush)
    assert "release-" in caught.value.mend


def test_a_release_made_but_not_promoted_because_of_a_kill_is_promoted_by_the_next_run(store: Store) -> None:
    found = released(store, "one")
    log_path(store).unlink()
    head_path(log_path(store)).unlink()
    assert released(store, "one") == found
    assert current(store) == found


def test_a_line_cut_off_by_a_kill_does_not_count_is_told_and_does_not_harm_the_next(
    store: Store, told: list[Event]
) -> None:
    first = released(store, "one")
    whole = log_path(store).read_bytes()
    log_path(store).write_bytes(whole + whole[: len(whole) // 2])
    assert current(store, tell=told.append) == first
    warned = [event for event in told if isinstance(event, Warned)]
    assert len(warned) == 1
    assert str(log_path(store)) in warned[0].what
    assert "promote or roll back again" in warned[0].mend
    second = released(store, "two")
    assert log_path(store).read_bytes().startswith(whole)
    assert what_was_decided(store) == [("promote", first), ("promote", second)]


def _promote_in_turn(root: str, names: tuple[str, str]) -> None:
    for place in range(8):
        promote(Store(root), names[place % 2], hush)


def test_decisions_of_two_processes_never_mix_in_a_line(store: Store) -> None:
    names = (released(store, "one"), released(store, "two"))
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_promote_in_turn, args=(str(store.root), names)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    decided = what_was_decided(store)
    assert len(decided) > 8
    # a promotion of what is current writes nothing, so lines of the two always alternate
    assert all(left != right for left, right in itertools.pairwise(decided))


def test_a_kill_while_promoting_leaves_a_log_that_can_be_read_and_written(store: Store) -> None:
    first, second = released(store, "one"), released(store, "two")
    program = """
import sys
from luthier.artifact.store import Store
from luthier.event import hush
from luthier.release.log import promote
print("ready", flush=True)
while True:
    for name in sys.argv[2:]:
        promote(Store(sys.argv[1]), name, hush)
"""
    for _ in range(3):
        command = [sys.executable, "-c", program, str(store.root), first, second]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            before = len(history(store))
            while len(history(store)) < before + 3:
                assert child.poll() is None
            os.kill(child.pid, signal.SIGKILL)
        assert current(store) in (first, second)
    promote(store, first, hush)
    assert current(store) == first


@pytest.mark.parametrize(
    ("assignment", "key", "mend"),
    [
        ("gate=['rouge_l.after > 0', 'rouge_l.after']", "key gate.1", "cannot be read at character 14: a comparison"),
        ("gate=[]", "key gate", "at least 1 item"),
        ("gates=['rouge_l.after > 0']", "key gates", "did you mean 'gate'?"),
    ],
)
def test_a_gate_that_cannot_be_read_fails_with_the_spec_before_anything_runs(
    assignment: str, key: str, mend: str
) -> None:
    with pytest.raises(SpecError) as caught:
        make(ReleaseSpec, [assignment])
    assert caught.value.where.endswith(key)
    assert mend in caught.value.mend


def test_a_rule_over_figures_that_were_not_measured_makes_no_release(store: Store) -> None:
    with pytest.raises(SpecError) as caught:
        release(ReleaseSpec(gate=("bleu.after > 3",)), *tuned_and_scores(store), None, store, hush)
    assert caught.value.where == "rule 'bleu.after > 3', character 1"
    assert "rouge_l.after" in caught.value.mend
    assert current(store) is None
