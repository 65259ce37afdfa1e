"""What a judge has shown of itself stands in the reports of whatever it judges."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_chat import FakeModel, made
from fake_models import Bench, bench, example

from luthier.artifact.store import Artifact, Store
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.evaluate.trials import find_trials
from luthier.event import Chose, Event, Warned, hush

TRIAL = """
title: A trial
kind: judge
criterion: relevance
prompt: "{{ q }}"
claim: "{{ a }}"
reference: "{{ label }}"
labels: [bad, good]
metrics: [kappa, accuracy]
"""
JUDGED = """
title: Judged
rows: judged.jsonl
prompt: "{{ q }}"
metrics: [judged_relevance]
"""
WORDS = ("bridge", "river", "market", "harbour")


@pytest.fixture
def court(store: Store, tmp_path: Path) -> Bench:
    """Give a model that answers, with a trial of eight cases and a task of four questions on disk."""
    cases = [
        {"q": f"Where is the {word}?", "a": f"The {other} is here.", "label": "good" if word == other else "bad"}
        for place, word in enumerate(WORDS)
        for other in (word, WORDS[place - 1])
    ]
    for name, rows in (("trial", cases), ("judged", [{"q": f"Where is the {word}?"} for word in WORDS])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "trial.yaml").write_text(TRIAL + "rows: trial.jsonl\n", encoding="utf-8")
    (tmp_path / "judged.yaml").write_text(JUDGED, encoding="utf-8")
    found = bench(store, [example(1)])
    found.models[found.tuned.id] = FakeModel(lambda asked: asked.replace("Where is", "Here is"))
    return found


def ask(court: Bench, task: Path, told: list[Event] | None = None, **more: Any) -> Artifact:
    spec = EvaluateSpec(task=str(task), alone=task.stem == "judged", bootstrap=100, **more)
    model = court.tuned if task.stem == "judged" else None
    tell = hush if told is None else told.append
    return evaluate(spec, None, None, None, model, court.store, tell, court.open_model)


def test_a_judge_that_never_stood_a_trial_is_warned_of(court: Bench, tmp_path: Path, told: list[Event]) -> None:
    made = ask(court, tmp_path / "judged.yaml", told)
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "never put on trial here" in page
    [warned] = [event for event in told if isinstance(event, Warned) and "stood a trial" in event.what]
    assert warned.mend == "put it on trial: luthier evaluate task=judge_relevance judge=... rows=..."


def test_the_newest_trial_of_the_same_judge_is_quoted_and_asked_for_by_the_order(
    court: Bench, tmp_path: Path, told: list[Event]
) -> None:
    before = ask(court, tmp_path / "judged.yaml")
    trial = ask(court, tmp_path / "trial.yaml", told)
    assert not any("kappa is low" in event.what for event in told if isinstance(event, Warned))
    kappa = trial.card.figures["heldout"]["metrics"]["kappa"]["value"]
    assert kappa == 1  # words in common: the offline judge tells these apart
    quoted = ask(court, tmp_path / "judged.yaml", told)
    assert quoted.id != before.id
    assert quoted.card.inputs["trial.relevance"] == trial.id
    page = (quoted.folder / "report.html").read_text(encoding="utf-8")
    assert trial.id in page
    assert "Scores of a criterion whose kappa is low" not in page
    [chosen] = [event for event in told if isinstance(event, Chose) and event.what.startswith("trust")]
    assert chosen.value == "kappa 1.00"
    assert chosen.why == f"its trial {trial.id} on 8 rows that people labelled"
    assert ask(court, tmp_path / "judged.yaml").id == quoted.id


def test_a_judge_that_agrees_by_chance_is_told_to_decide_nothing(
    court: Bench, tmp_path: Path, told: list[Event]
) -> None:
    judge = made(court.store, "model", "judge", {}, lambda out: None)
    court.models[judge.id] = FakeModel(lambda asked: '{"reason": "fine", "score": 5}')
    ask(court, tmp_path / "trial.yaml", told, judge=judge.id)
    [poor] = [event for event in told if isinstance(event, Warned) and "kappa is low" in event.what]
    assert poor.what == (
        "heldout: kappa is low, 0.00 where 0.4 is the least: this judge of relevance says what people say little more "
        "often than by chance, and should decide nothing"
    )
    assert poor.mend == "take another judge (judge=ID or an address), and put that on trial"
    told.clear()
    quoted = ask(court, tmp_path / "judged.yaml", told, judge=judge.id)
    assert find_trials(court.store, "offline", ["relevance"]) == {}  # another judge's trial says nothing of this one
    [warned] = [event for event in told if isinstance(event, Warned) and "should decide nothing" in event.what]
    assert warned.what == "its relevance scores should decide nothing: kappa 0.00"
    page = (quoted.folder / "report.html").read_text(encoding="utf-8")
    assert "Scores of a criterion whose kappa is low or unknown should decide nothing." in page
