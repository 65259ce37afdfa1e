"""Not worse than the model in service: the same rows, row by row."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest
from test_probes import made as plain

from luthier.artifact.order import Order
from luthier.artifact.released import current, history
from luthier.artifact.store import Artifact, Store
from luthier.errors import GateError, KindError, SpecError
from luthier.event import Event, Judged, hush
from luthier.release.run import release
from luthier.release.spec import ReleaseSpec

TASK = "sha256:task"
Values = Sequence[float]


def scores(store: Store, tuned: Artifact, values: Values, *, task: str = TASK, sums: bool = False) -> Artifact:
    """Scores in which the base has 0 on every row, and the tuned model these."""

    def build(out: Path, work: Path) -> dict[str, object]:
        lines = []
        for number, value in enumerate(values):
            row = {"id": f"row{number}", "tag": "heldout", "metrics": {"rouge_l": {"before": 0.0, "after": value}}}
            if sums:  # perplexity e^value: -value nats over one token
                row["metrics"] = {**row["metrics"], "perplexity": {"before": 1.0, "after": 1.0}}  # type: ignore[dict-item]
                row["statistics"] = {"perplexity": {"before": [0, 1], "after": [-value, 1]},
                                     "rouge_l": {"before": [0, 1], "after": [value, 1]}}  # fmt: skip
            lines.append(json.dumps(row) + "\n")
        (out / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
        found = {"before": 0.0, "after": mean(values), "gain": mean(values), "low": 0.1, "high": 1.0}
        return {"heldout": {"rows": len(values), "metrics": {"rouge_l": found}}}

    inputs = {"base": "model-0", "tuned": tuned.id, "task": task}
    return store.make(Order("scores", "test", 1, {"values": list(values)}, inputs), build, hush)


def spec(**not_worse: float) -> ReleaseSpec:
    return ReleaseSpec(gate=("rouge_l.after > 0",), not_worse=not_worse or {"rouge_l": 0.02})


def tuned(store: Store, name: str) -> Artifact:
    return plain(store, "adapter", {"name": name})


def noise(seed: int, level: float, count: int = 200) -> list[float]:
    draw = random.Random(seed)
    return [level + draw.uniform(-0.1, 0.1) for _ in range(count)]


def test_the_first_release_has_nothing_to_be_held_against(store: Store, told: list[Event]) -> None:
    one = tuned(store, "one")
    made = release(spec(), one, scores(store, one, noise(1, 0.5)), None, store, told.append)
    assert current(store) == made.id
    assert "none is in service" in [event.value for event in told if isinstance(event, Judged)]


@pytest.mark.parametrize(("level", "passes"), [(0.6, True), (0.5, True), (0.4, False)])
def test_a_release_that_is_worse_than_the_one_in_service_is_refused(level: float, passes: bool, store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    first = release(spec(), one, scores(store, one, noise(1, 0.5)), None, store, hush)
    ours = scores(store, two, noise(2, level))
    if passes:
        made = release(spec(), two, ours, None, store, hush)
        assert current(store) == made.id
        assert one.id in history(store)[-1].figures["rules"][-1]["rule"]
        return
    with pytest.raises(GateError, match=f"rouge_l not worse than {one.id}'s by more than 0.02"):
        release(spec(), two, ours, None, store, hush)
    assert current(store) == first.id
    assert [line.what for line in history(store)] == ["promote", "refuse"]
    assert len([card for card in store.cards() if card.kind == "release"]) == 1


def test_few_rows_prove_little_and_fail(store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5, 5)), None, store, hush)
    with pytest.raises(GateError, match="95 % interval"):
        release(spec(), two, scores(store, two, noise(2, 0.5, 5)), None, store, hush)


def test_the_margin_is_what_may_be_lost(store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5)), None, store, hush)
    made = release(spec(rouge_l=0.2), two, scores(store, two, noise(2, 0.4)), None, store, hush)
    assert current(store) == made.id


def test_a_figure_of_all_rows_is_held_by_its_sums(store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5), sums=True), None, store, hush)
    # perplexity e^0.5 = 1.65 in service, e^0.6 = 1.82 here: 0.17 more
    with pytest.raises(GateError, match="perplexity not worse"):
        release(spec(perplexity=0.1), two, scores(store, two, noise(2, 0.6), sums=True), None, store, hush)
    assert release(spec(perplexity=0.3), two, scores(store, two, noise(2, 0.6), sums=True), None, store, hush)


def test_a_second_run_after_promotion_makes_and_decides_nothing(store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5)), None, store, hush)
    made = release(spec(), two, scores(store, two, noise(2, 0.6)), None, store, hush)
    assert release(spec(), two, scores(store, two, noise(2, 0.6)), None, store, hush).id == made.id
    assert len(history(store)) == 2


@pytest.mark.parametrize("other", ["task", "rows"])
def test_a_model_in_service_that_was_not_asked_these_rows_is_told_with_what_to_do(other: str, store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5, 50)), None, store, hush)
    ours = scores(store, two, noise(2, 0.5, 60)) if other == "rows" else scores(store, two, noise(2, 0.5), task="other")
    with pytest.raises(KindError) as caught:
        release(spec(), two, ours, None, store, hush)
    assert caught.value.what == f"{one.id}, which is in service, was not asked the rows of {ours.id}"
    assert caught.value.where == "key release.not_worse"
    assert caught.value.mend.startswith(f"evaluate {one.id} on the same rows first")


def test_a_metric_that_was_not_measured_names_the_nearest(store: Store) -> None:
    one, two = tuned(store, "one"), tuned(store, "two")
    release(spec(), one, scores(store, one, noise(1, 0.5)), None, store, hush)
    with pytest.raises(SpecError) as caught:
        release(spec(rouge_1=0.1), two, scores(store, two, noise(2, 0.5)), None, store, hush)
    assert caught.value.mend == "did you mean 'rouge_l'?"
