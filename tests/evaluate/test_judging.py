"""Judges: never without a number, mended where they can be, and honest where they cannot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_chat import FakeModel, made
from fake_models import bench, example

from luthier.artifact.store import Artifact, Store
from luthier.engine import judging
from luthier.engine.judging import Case, ModelJudge, OfflineJudge, Verdict, read_verdict
from luthier.engine.ports import Answer, Prompt, Sampling
from luthier.errors import ServeError, StoreError
from luthier.evaluate import build
from luthier.evaluate.again import unjudged
from luthier.evaluate.ask import Reply
from luthier.evaluate.judged import biases
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Event, Said, Tell, Warned, hush

CONTEXT = "The bridge of Hamburg was built in 1901. It has twelve arches of stone."


@pytest.mark.parametrize(
    ("said", "score", "reason"),
    [
        ('{"reason": "all of it", "score": 5}', 5, "all of it"),
        ('Sure!\n```json\n{"score": "2", "reason": "half"}\n```', 2, "half"),
        ("Score: 4", 4, ""),
        ("3/5", 3, ""),
        ('{"score": 9}', None, 'no verdict: {"score": 9}'),
        ('{"score": true}', None, 'no verdict: {"score": true}'),
        (
            "I would rather not say; 4 things come to mind.",
            None,
            "no verdict: I would rather not say; 4 things come to mind.",
        ),
        ("", None, "no verdict: "),
    ],
)
def test_a_verdict_is_read_or_there_is_none(said: str, score: int | None, reason: str) -> None:
    assert read_verdict(said) == Verdict(score, reason)


class Court:
    """A model that says what it was given, turn by turn; it remembers what it was asked."""

    name = "court"
    defaults: Mapping[str, Any] = {}
    takes = frozenset({"json_schema"})

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.asked: list[Prompt] = []
        self.samplings: list[Sampling] = []

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        self.asked += prompts
        self.samplings.append(sampling)
        return [Answer(self.said.pop(0), (1,), (1,), "stop") for _ in prompts]


def test_nonsense_is_asked_for_once_more_and_then_counts_as_unjudged() -> None:
    court = Court("banana", '{"reason": "r", "score": 4}', "still banana")
    case = Case("q", CONTEXT, "a")
    verdicts = ModelJudge(court).judge("truthfulness", [case, case])  # type: ignore[arg-type]
    assert [verdict.score for verdict in verdicts] == [None, 4]
    assert "still banana" in verdicts[0].reason
    again = court.asked[-1]
    assert isinstance(again, tuple)
    assert "banana" in str(again[-2])
    assert json.loads(str(court.samplings[0].json_schema))["properties"]["score"]["maximum"] == 5


def test_the_answer_stands_first_where_that_is_wished() -> None:
    court = Court('{"score": 3, "reason": ""}', '{"score": 3, "reason": ""}')
    judge = ModelJudge(court)  # type: ignore[arg-type]
    for first in (False, True):
        judge.judge("consistency", [Case("q", "THE FACTS", "THE ANSWER")], answer_first=first)
    texts = [str(asked) for asked in court.asked]
    assert texts[0].index("THE FACTS") < texts[0].index("THE ANSWER")
    assert texts[1].index("THE ANSWER") < texts[1].index("THE FACTS")


def test_a_judge_that_is_down_judges_nothing_and_says_why() -> None:
    class Down(Court):
        def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
            raise ServeError("refused", where="http://x", mend="start it")

    [verdict] = ModelJudge(Down()).judge("relevance", [Case("q", "", "a")])  # type: ignore[arg-type]
    assert verdict == Verdict(None, "no verdict: the judge is down: refused")


@pytest.mark.parametrize(
    ("criterion", "answer", "scores"),
    [
        ("truthfulness", "The bridge was built in 1901.", {5}),
        ("truthfulness", "The bridge was built in 1905.", {1}),
        ("truthfulness", "Napoleon liked elephants.", {1}),
        ("consistency", "Napoleon liked elephants.", {5}),
        ("consistency", "The bridge was not built in 1901.", {1, 2, 3}),
        ("relevance", "The bridge of Hamburg was built in 1901.", {5}),
        ("relevance", "Cats purr.", {1}),
        ("truthfulness", "", {None}),
    ],
)
def test_the_offline_judge_goes_by_words_numbers_and_denials(criterion: str, answer: str, scores: set[Any]) -> None:
    question = "When was the bridge of Hamburg built?"
    [verdict] = OfflineJudge().judge(criterion, [Case(question, CONTEXT, answer)])
    assert verdict.score in scores
    assert verdict.reason


def test_leanings_are_measured() -> None:
    # the example of scipy's spearmanr: [1, 2, 3, 4, 5] against [5, 6, 7, 8, 7] is 0.82078
    rows = [(1, 4, 5), (2, 2, 6), (3, 4, 7), (4, 4, 8), (5, 1, 7)]
    replies = [Reply(details={"scores": [first, second], "length": length}) for first, second, length in rows]
    replies.append(Reply(details={"scores": [None, 4], "length": 5}))
    found = biases(replies)
    assert found["unjudged"] == 1
    assert found["changed by order"] == pytest.approx(3 / 5)  # the first, the third and the last cross from no to yes
    assert found["score with length"] == pytest.approx(0.82078, abs=1e-5)


def test_judged_answers_have_a_score_a_reason_and_a_count_of_the_unjudged(
    store: Store, tmp_path: Path, told: list[Event]
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [judged_relevance]\n", encoding="utf-8")
    found = bench(store, [example(number) for number in range(4)])
    judge = made(store, "model", "judge", {}, lambda out: None)
    replies = ['{"reason": "fine", "score": 5}'] * 5 + ["nonsense"] * 40
    found.models[judge.id] = FakeModel(lambda asked: replies.pop(0))
    spec = EvaluateSpec(task=str(task), judge=judge.id, bootstrap=100)
    scores = evaluate(spec, found.base, found.tuned, found.data, None, store, told.append, found.open_model)
    table = scores.card.figures["heldout"]
    assert table["metrics"]["judged_relevance"]["before"] == 5
    assert table["metrics"]["judged_relevance"]["after"] == pytest.approx(5 / 4)  # three unjudged count 0
    assert table["unjudged"] == {"before": {"judged_relevance": 0}, "after": {"judged_relevance": 3}}
    assert "5: fine" in (scores.folder / "answers.jsonl").read_text(encoding="utf-8")
    assert [event.what for event in told if isinstance(event, Warned) and "unjudged" in event.what] == [
        "heldout: 3 of 4 answers after are unjudged (judged_relevance): they count 0, a gate refuses"
    ]


def test_what_is_unjudged_is_judged_once_more_by_the_same_order(
    store: Store, tmp_path: Path, told: list[Event]
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [judged_relevance]\n", encoding="utf-8")
    found = bench(store, [example(number) for number in range(4)])
    judge = made(store, "model", "judge", {}, lambda out: None)
    replies = ['{"reason": "fine", "score": 5}'] * 5 + ["nonsense"] * 6
    asked: list[str] = []

    def say(question: str) -> str:
        asked.append(question)
        return replies.pop(0) if replies else '{"reason": "mended", "score": 3}'

    found.models[judge.id] = FakeModel(say)
    spec = EvaluateSpec(task=str(task), judge=judge.id, bootstrap=100)

    def order() -> Artifact:
        return evaluate(spec, found.base, found.tuned, found.data, None, store, told.append, found.open_model)

    first = order()
    made_at = first.card.made_at
    assert first.card.figures["heldout"]["unjudged"]["after"] == {"judged_relevance": 3}
    asked.clear()
    found.opened.clear()
    again = order()
    assert again.id == first.id
    assert again.card.made_at > made_at
    assert len(asked) == 3
    assert found.opened == [judge.id]  # no answer is asked for anew
    assert again.card.figures["heldout"]["unjudged"]["after"] == {"judged_relevance": 0}
    assert again.card.figures["heldout"]["metrics"]["judged_relevance"]["after"] == pytest.approx((5 + 3 * 3) / 4)
    assert not (again.folder / "kept").exists()
    assert [event.text for event in told if isinstance(event, Said)] == [
        f"3 answers of {first.id} are unjudged: the judge is asked about them once more"
    ]
    asked.clear()
    order()
    assert asked == []


def test_unjudged_scores_from_which_something_was_made_stay(store: Store, tmp_path: Path, told: list[Event]) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [judged_relevance]\n", encoding="utf-8")
    found = bench(store, [example(number) for number in range(4)])
    judge = made(store, "model", "judge", {}, lambda out: None)
    found.models[judge.id] = FakeModel(lambda asked: "nonsense")
    spec = EvaluateSpec(task=str(task), judge=judge.id, bootstrap=100)
    scores = evaluate(spec, found.base, found.tuned, found.data, None, store, hush, found.open_model)
    user = made(store, "release", "by hand", {"scores": scores.id}, lambda out: None)
    made_at = scores.card.made_at
    evaluate(spec, found.base, found.tuned, found.data, None, store, told.append, found.open_model)
    assert scores.card.made_at == made_at
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert warned.what == f"8 answers of {scores.id} are unjudged, and stay so: {user.id} was made from it"
    assert warned.mend == f"remove {user.id} first (luthier remove), then ask once more"


def test_unjudged_answers_of_a_benchmark_in_parts_count_once(store: Store, tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"q": "word{n}?"}}\n' for n in range(4)), encoding="utf-8")
    task = tmp_path / "task.yaml"
    text = "title: t\nrows: rows.jsonl\nprompt: '{{ q }}'\nmetrics: [judged_relevance]\ntag: \"{{ q[4] in '01' }}\"\n"
    task.write_text(text, encoding="utf-8")
    found = bench(store, [example(1)])
    judge = made(store, "model", "judge", {}, lambda out: None)
    found.models[judge.id] = FakeModel(lambda asked: "nonsense")
    spec = EvaluateSpec(task=str(task), alone=True, judge=judge.id, bootstrap=100)
    for _ in range(2):
        scores = evaluate(spec, None, None, None, found.tuned, store, told.append, found.open_model)
    assert {"all", "True", "False"} <= scores.card.figures.keys()
    assert unjudged(scores.card.figures) == 4
    assert [event.text for event in told if isinstance(event, Said)] == [
        f"4 answers of {scores.id} are unjudged: the judge is asked about them once more"
    ]
    figures = {**scores.card.figures, "all": {**scores.card.figures["all"], "rows": 3}}
    assert unjudged(figures) == 8  # a tag that is called so


def test_an_address_is_asked_about_what_it_left_unjudged_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"q": "word{n}?"}}\n' for n in range(4)), encoding="utf-8")
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nrows: rows.jsonl\nprompt: '{{ q }}'\nmetrics: [judged_relevance]\n", encoding="utf-8")
    verdicts = ['{"score": 4}'] * 3 + ["nonsense"] * 2
    answered: list[str] = []
    judged: list[str] = []

    def answer(question: str) -> str:
        answered.append(question)
        return "an answer"

    def judge(question: str) -> str:
        judged.append(question)
        return verdicts.pop(0) if verdicts else '{"score": 5}'

    monkeypatch.setattr(build, "RemoteModel", lambda *address: FakeModel(answer))
    monkeypatch.setattr(judging, "RemoteModel", lambda *address: FakeModel(judge))
    spec = EvaluateSpec(task=str(task), url="http://there/v1", judge="http://there/v1", bootstrap=100)

    def order() -> Artifact:
        return evaluate(spec, None, None, None, None, store, hush, None)  # type: ignore[arg-type]

    assert order().card.figures["heldout"]["unjudged"]["value"] == {"judged_relevance": 1}
    assert (len(answered), len(judged)) == (4, 5)
    again = order()
    assert (len(answered), len(judged)) == (4, 6)
    assert again.card.figures["heldout"]["metrics"]["judged_relevance"]["value"] == (3 * 4 + 5) / 4
    assert not (again.folder / "kept").exists()


def test_a_judge_at_an_address_where_nobody_is_shows_before_a_model_is_asked(store: Store, tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [judged_relevance]\n", encoding="utf-8")
    found = bench(store, [example(1)])
    spec = EvaluateSpec(task=str(task), judge="http://127.0.0.1:9/v1", bootstrap=100)
    with pytest.raises(ServeError, match="does not answer"):
        evaluate(spec, found.base, found.tuned, found.data, None, store, hush, found.open_model)
    assert found.opened == []


def test_a_judge_that_was_altered_on_disk_is_not_asked(store: Store, tmp_path: Path) -> None:
    def fill(out: Path) -> None:
        (out / "weights").write_text("as made", encoding="utf-8")

    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [judged_relevance]\n", encoding="utf-8")
    found = bench(store, [example(1)])
    judge = made(store, "model", "judge", {}, fill)
    (judge.folder / "weights").write_text("altered", encoding="utf-8")
    found.models[judge.id] = FakeModel(lambda asked: '{"score": 5}')
    spec = EvaluateSpec(task=str(task), judge=judge.id, bootstrap=100)
    with pytest.raises(StoreError, match=r"weights of .* differs from its checksum"):
        evaluate(spec, found.base, found.tuned, found.data, None, store, hush, found.open_model)
    assert judge.id not in found.opened


def test_a_judge_on_trial_is_held_against_people(store: Store, tmp_path: Path) -> None:
    rows = [
        {"c": CONTEXT, "a": "The bridge was built in 1901.", "l": "yes"},
        {"c": CONTEXT, "a": "It was built in 1905.", "l": "no"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = tmp_path / "task.yaml"
    task.write_text(
        "title: t\nkind: judge\ncriterion: truthfulness\nrows: rows.jsonl\ncontext: '{{ c }}'\nclaim: '{{ a }}'\n"
        "reference: '{{ l }}'\nlabels: ['no', 'yes']\nmetrics: [kappa, accuracy]\n",
        encoding="utf-8",
    )
    scores = evaluate(EvaluateSpec(task=str(task), bootstrap=100), None, None, None, None, store, hush, None)  # type: ignore[arg-type]
    table = scores.card.figures["heldout"]
    assert table["metrics"]["kappa"]["value"] == table["metrics"]["accuracy"]["value"] == 1
    assert table["bias"]["value"]["changed by order"] == 0
    assert table["confusion"]["value"]["counts"] == [[1, 0, 0], [0, 1, 0]]
