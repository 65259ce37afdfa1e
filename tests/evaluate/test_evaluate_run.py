import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_chat import FakeModel, made
from fake_models import Bench, bench, example, mumble, parrot, tokens

from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, KindError, SpecError
from luthier.evaluate.ask import in_order
from luthier.evaluate.question import Question
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Compared, Counted, Event, Progress, Warned, hush
from luthier.measure.task import TaskSpec

TASK = "title: t\nmetrics: [rouge_l, exact_match, bleu, perplexity]\nrows_per_batch: 4\nmax_tokens: 9\n"


@pytest.fixture
def task(tmp_path: Path) -> str:
    path = tmp_path / "task.yaml"
    path.write_text(TASK, encoding="utf-8")
    return str(path)


def run(found: Bench, spec: EvaluateSpec, told: list[Event] | None = None) -> Artifact:
    tell = hush if told is None else told.append
    return evaluate(spec, found.base, found.tuned, found.data, None, found.store, tell, found.open_model)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def answers(artifact: Artifact) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifact.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]


def of_kind(told: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


def test_both_models_answer_the_same_rows_and_the_gain_is_measured(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(number) for number in range(30)])
    scores = run(found, EvaluateSpec(bootstrap=100, task=task), told)
    table = read(scores.folder / "scores.json")
    assert table == scores.card.figures
    assert table["heldout"]["rows"] == 30
    figures = table["heldout"]["metrics"]
    # mumbled: "the answer" is 2 of 4 words said and of 5 wanted, in order: F1 of 2/4 and 2/5
    assert figures["rouge_l"]["before"] == pytest.approx(2 * 0.5 * 0.4 / 0.9)
    assert figures["rouge_l"]["after"] == figures["exact_match"]["after"] == 1
    assert figures["rouge_l"]["gain"] == pytest.approx(1 - 4 / 9)
    assert figures["bleu"]["after"] == pytest.approx(100)
    assert figures["perplexity"]["before"] == pytest.approx(math.exp(2))
    assert figures["perplexity"]["after"] == pytest.approx(math.exp(0.5))
    assert figures["perplexity"]["gain"] == pytest.approx(math.exp(2) - math.exp(0.5))
    assert figures["rouge_l"]["low"] > 0
    assert [(event.metric, event.rows) for event in of_kind(told, Compared)] == [
        ("rouge_l", 30), ("exact_match", 30), ("bleu", 30), ("perplexity", 30)
    ]  # fmt: skip
    assert scores.card.inputs.keys() == {"base", "tuned", "data", "task"}
    assert read(scores.folder / "task.json")["max_tokens"] == 9


def test_each_answer_is_kept_with_its_question_reference_and_figures(store: Store, task: str) -> None:
    found = bench(store, [example(number) for number in range(3)])
    rows = answers(run(found, EvaluateSpec(bootstrap=100, task=task)))
    assert {row["id"] for row in rows} == {"id000", "id001", "id002"}
    row = next(row for row in rows if row["id"] == "id002")
    assert row["question"] == "question 2"
    assert row["before"] == "the answer, I think"
    assert row["after"] == row["reference"] == "number 2 is the answer"
    assert row["tag"] == "heldout"
    assert row["source"] == "rows.jsonl:2"
    assert row["metrics"]["exact_match"] == {"before": 0, "after": 1}


def test_sampling_is_greedy_and_bounded_by_the_task_and_batches_hold_what_it_says(store: Store, task: str) -> None:
    found = bench(store, [example(number) for number in range(10)])
    run(found, EvaluateSpec(bootstrap=100, task=task, seed=5))
    model = found.models[found.tuned.id]
    assert model.batches == [4, 4, 2]
    assert {(sampling.max_tokens, sampling.temperature, sampling.seed) for sampling in model.samplings} == {(9, 0, 5)}


def test_models_are_opened_one_after_the_other_and_only_once(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(number) for number in range(10)])
    run(found, EvaluateSpec(bootstrap=100, task=task), told)
    assert found.opened == [found.base.id, found.tuned.id]
    progress = [(event.what, event.done) for event in of_kind(told, Progress)]
    assert progress == [(f"ask {role}", done) for role in ("base", "tuned") for done in (4, 8, 10)]


def test_tagged_rows_are_reported_apart_and_do_not_touch_the_held_out_figures(store: Store, task: str) -> None:
    rows = [example(number) for number in range(8)] + [example(number, tag="recall") for number in range(5)]
    found = bench(store, rows)
    found.models[found.tuned.id].say = lambda asked: mumble(asked) if asked.endswith("recall") else parrot(asked)
    table = read(run(found, EvaluateSpec(bootstrap=100, task=task)).folder / "scores.json")
    assert list(table) == ["heldout", "recall"]
    assert (table["heldout"]["rows"], table["recall"]["rows"]) == (8, 5)
    assert table["heldout"]["metrics"]["exact_match"]["after"] == 1
    assert table["recall"]["metrics"]["exact_match"]["after"] == 0


def test_a_limit_keeps_the_same_rows_whatever_their_order_and_another_seed_keeps_others(
    tmp_path: Path, task: str, told: list[Event]
) -> None:
    rows = [example(number) for number in range(40)] + [example(number, tag="recall") for number in range(3)]
    kept = []
    for place, (order, seed) in enumerate([(rows, 0), (rows[::-1], 0), (rows, 1)]):
        found = bench(Store(tmp_path / str(place)), order)
        kept.append(
            sorted(
                row["id"]
                for row in answers(run(found, EvaluateSpec(bootstrap=100, task=task, limit=10, seed=seed), told))
            )
        )
    assert len(kept[0]) == 13
    assert kept[0] == kept[1] != kept[2]
    assert Chose("rows of heldout", "10 of 40", "the limit, by content and seed 0") in told
    assert Counted("rows to ask", {"heldout": 10, "recall": 3}) in told


def test_a_row_stays_chosen_when_others_are_added(tmp_path: Path, task: str) -> None:
    few = bench(Store(tmp_path / "few"), [example(number) for number in range(20)])
    many = bench(Store(tmp_path / "many"), [example(number) for number in range(40)])
    spec = EvaluateSpec(bootstrap=100, task=task, limit=10)
    before = {row["id"] for row in answers(run(few, spec))}
    after = {row["id"] for row in answers(run(many, spec))}
    assert len(after) == 10
    assert {name for name in after if name < "id020"} <= before


def test_the_tasks_limits_hold_for_each_tag(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "limited.yaml"
    path.write_text("title: t\nmetrics: [exact_match]\nlimits: {heldout: 4}\n", encoding="utf-8")
    rows = [example(number) for number in range(8)] + [example(number, tag="recall") for number in range(5)]
    table = read(run(bench(store, rows), EvaluateSpec(task=str(path))).folder / "scores.json")
    assert (table["heldout"]["rows"], table["recall"]["rows"]) == (4, 5)


def test_a_second_evaluation_makes_nothing_and_an_edited_task_makes_another(store: Store, task: str) -> None:
    found = bench(store, [example(number) for number in range(5)])
    first = run(found, EvaluateSpec(bootstrap=100, task=task))
    assert run(found, EvaluateSpec(bootstrap=100, task=task)).id == first.id
    assert len(found.opened) == 2
    Path(task).write_text(TASK.replace("bleu, ", ""), encoding="utf-8")
    assert run(found, EvaluateSpec(bootstrap=100, task=task)).id != first.id


class BrokenError(RuntimeError):
    pass


def breaking(model: FakeModel, after: int) -> None:
    said = 0
    say = model.say

    def speak(question: str) -> str:
        nonlocal said
        said += 1
        if said > after:
            raise BrokenError
        return say(question)

    model.say = speak


@pytest.mark.parametrize("torn", [b"", b'{"answer-12": {"te', "半".encode()[:2]])
@pytest.mark.parametrize("role", ["base", "tuned"])
def test_a_broken_evaluation_goes_on_and_equals_a_straight_one(
    tmp_path: Path, task: str, role: str, torn: bytes
) -> None:
    rows = [example(number) for number in range(18)]
    straight = run(bench(Store(tmp_path / "straight"), rows), EvaluateSpec(bootstrap=100, task=task))
    found = bench(Store(tmp_path / "broken"), rows)
    name = found.base.id if role == "base" else found.tuned.id
    whole = found.models[name]
    found.models[name] = FakeModel(whole.say, whole.log_probability)
    breaking(found.models[name], after=10)  # dies in the third batch of five
    with pytest.raises(BrokenError):
        run(found, EvaluateSpec(bootstrap=100, task=task))
    [kept] = (found.store.root / "answers" / name).glob("*.jsonl")
    assert len(kept.read_bytes().splitlines()) == 2
    kept.write_bytes(kept.read_bytes() + torn)
    found.models[name] = whole
    found.opened.clear()
    resumed = run(found, EvaluateSpec(bootstrap=100, task=task))
    assert whole.batches == [4, 4, 2]  # the two whole batches are not asked again
    assert found.opened == ([found.base.id, found.tuned.id] if role == "base" else [found.tuned.id])
    assert resumed.card.files == straight.card.files


def test_an_evaluation_killed_at_once_loses_no_whole_batch(tmp_path: Path, task: str) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from fake_models import bench, example
from luthier.artifact.store import Store
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Progress

found = bench(Store(sys.argv[1]), [example(number) for number in range(18)])
def tell(event):
    if isinstance(event, Progress) and event.what == "ask tuned" and event.done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
spec = EvaluateSpec(bootstrap=100, task=sys.argv[2])
evaluate(spec, found.base, found.tuned, found.data, None, found.store, tell, found.open_model)
"""
    places = [
        str(Path(__file__).parent),
        str(Path(__file__).parents[1] / "models"),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    place = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", program, str(place), task], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    rows = [example(number) for number in range(18)]
    found = bench(Store(place), rows)
    assert [card.kind for card in found.store.cards() if card.kind == "scores"] == []
    resumed = run(found, EvaluateSpec(bootstrap=100, task=task))
    assert found.opened == [found.tuned.id]
    assert found.models[found.tuned.id].batches == [4, 4, 2]
    straight = run(bench(Store(tmp_path / "straight"), rows), EvaluateSpec(bootstrap=100, task=task))
    assert resumed.id == straight.id
    assert resumed.card.files == straight.card.files


def test_rows_of_one_group_are_drawn_together_and_that_is_told(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(number, group=f"function {number // 3}") for number in range(30)])
    table = read(run(found, EvaluateSpec(bootstrap=100, task=task), told).folder / "scores.json")
    assert (table["heldout"]["rows"], table["heldout"]["groups"]) == (30, 10)
    assert [event.value for event in of_kind(told, Chose) if event.what == "bootstrap of heldout"] == ["by group"]
    warned = [event for event in of_kind(told, Warned) if "10 independent rows" in event.what]
    assert [event.mend for event in warned] == ["hold out more rows: 20 at least, 100 are good"]


def test_chinese_references_choose_the_chinese_bleu_tokenizer_and_say_so(
    store: Store, task: str, told: list[Event]
) -> None:
    found = bench(store, [example(number, reference=f"第{number}条规定了合同的效力。") for number in range(4)])
    found.models[found.tuned.id].say = lambda asked: f"第{asked.split()[1]}条规定了合同的效力。"
    table = read(run(found, EvaluateSpec(bootstrap=100, task=task), told).folder / "scores.json")
    assert table["heldout"]["metrics"]["bleu"]["after"] == pytest.approx(100)
    assert table["heldout"]["metrics"]["rouge_l"]["after"] == 1
    chosen = [event.value for event in of_kind(told, Chose) if event.what == "BLEU tokenizer of heldout"]
    assert chosen == ["zh"]


def test_one_row_leaves_the_interval_empty_not_sure(store: Store, task: str) -> None:
    table = read(run(bench(store, [example(1)]), EvaluateSpec(bootstrap=100, task=task)).folder / "scores.json")
    figures = table["heldout"]["metrics"]["rouge_l"]
    assert figures["gain"] > 0
    assert figures["low"] is figures["high"] is None


def test_a_row_without_supervised_tokens_is_answered_but_not_scored(store: Store, task: str) -> None:
    found = bench(store, [example(0), example(1)], [tokens(6, 0), tokens(6, 2)])
    scores = run(found, EvaluateSpec(bootstrap=100, task=task))
    figures = {row["id"]: row["metrics"]["perplexity"]["after"] for row in answers(scores)}
    assert figures["id000"] is None
    assert figures["id001"] == pytest.approx(math.exp(0.5))


def test_a_task_of_perplexity_alone_asks_for_no_answers(store: Store) -> None:
    found = bench(store, [example(number) for number in range(4)])
    scores = run(found, EvaluateSpec(task="perplexity"))
    assert found.models[found.base.id].batches == []
    assert list(scores.card.figures["heldout"]["metrics"]) == ["perplexity"]


def test_answers_that_never_end_are_counted_and_warned_of(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(number) for number in range(4)])
    found.models[found.tuned.id].finish_after = 5
    table = read(run(found, EvaluateSpec(bootstrap=100, task=task), told).folder / "scores.json")
    assert table["heldout"]["cut"] == {"before": 0, "after": 4}
    warned = [event for event in of_kind(told, Warned) if "4 of 4 tuned answers were cut off after 9" in event.what]
    assert len(warned) == 1
    assert "max_tokens" in warned[0].mend


def test_an_empty_test_split_says_so_before_any_model_is_opened(store: Store, task: str) -> None:
    found = bench(store, [])
    with pytest.raises(DataError) as caught:
        run(found, EvaluateSpec(bootstrap=100, task=task))
    assert "the test split is empty" in caught.value.what
    assert caught.value.where == str(found.data.folder / "test.jsonl")
    assert caught.value.mend == "give prepare more rows, or a larger share for test"
    assert found.opened == []


def test_an_empty_reference_names_its_line_and_where_it_came_from(store: Store, task: str) -> None:
    found = bench(store, [example(1), example(7, reference=" \n")])
    with pytest.raises(DataError) as caught:
        run(found, EvaluateSpec(bootstrap=100, task=task))
    assert "' \\n'" in caught.value.what
    assert caught.value.where == f"{found.data.folder / 'test.jsonl'}:2 (from rows.jsonl:7)"
    assert "fill in the row's answer" in caught.value.mend
    assert found.opened == []


def test_rows_that_all_have_tags_are_warned_of(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(number, tag="recall") for number in range(3)])
    assert list(run(found, EvaluateSpec(bootstrap=100, task=task), told).card.figures) == ["recall"]
    warned = [event for event in of_kind(told, Warned) if "no row is without a tag" in event.what]
    assert len(warned) == 1
    assert "name the tag" in warned[0].mend


def test_an_unknown_task_names_the_nearest_shipped_one(store: Store) -> None:
    with pytest.raises(SpecError) as caught:
        run(bench(store, [example(1)]), EvaluateSpec(task="anser"))
    assert caught.value.where == "key evaluate.task"
    assert caught.value.mend == "did you mean 'answer'? (or give the path of a YAML file)"


def test_a_missing_task_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(bench(store, [example(1)]), EvaluateSpec(task=str(tmp_path / "none.yaml")))
    assert caught.value.where == str(tmp_path / "none.yaml")
    assert caught.value.mend == "give the path of a YAML file that exists"


def test_an_adapter_of_another_base_is_refused(store: Store, task: str) -> None:
    found = bench(store, [example(1)])
    found.base = made(store, "model", "another", {}, lambda out: None)
    with pytest.raises(KindError) as caught:
        run(found, EvaluateSpec(bootstrap=100, task=task))
    assert caught.value.where == "input 'base'"
    assert found.tuned.order.inputs["model"] in caught.value.mend


def test_a_tuned_artifact_of_the_wrong_kind_is_refused(store: Store, task: str) -> None:
    found = bench(store, [example(1)])
    found.tuned = found.data
    with pytest.raises(KindError) as caught:
        run(found, EvaluateSpec(bootstrap=100, task=task))
    assert caught.value.where == "input 'tuned'"
    assert caught.value.mend == "give a model, an adapter, or anything else that answers (luthier list)"


def test_rows_the_adapter_may_have_learned_are_warned_of(store: Store, task: str, told: list[Event]) -> None:
    found = bench(store, [example(1)], trained_on="examples-000000000000")
    run(found, EvaluateSpec(bootstrap=100, task=task), told)
    warned = [event for event in of_kind(told, Warned) if "may have seen some of them" in event.what]
    assert [event.mend.split(",")[0] for event in warned] == ["evaluate on examples-000000000000"]


def test_a_dry_store_plans_the_id_without_reading_the_inputs(tmp_path: Path, task: str) -> None:
    dry = bench(Store(tmp_path / "dry", dry=True), [example(1)])
    wet = bench(Store(tmp_path / "wet"), [example(1)])
    assert run(dry, EvaluateSpec(bootstrap=100, task=task)).id == run(wet, EvaluateSpec(bootstrap=100, task=task)).id
    assert dry.opened == []


def test_rows_are_asked_longest_first_and_choices_tag_by_tag() -> None:
    def row(name: str, length: int, label: str) -> Question:
        return Question(name, "rows:1", "", "", prompt="x" * length, label=label)

    rows = [row("a", 10, "law"), row("b", 40, "art"), row("c", 30, "law"), row("d", 5, "art"), row("e", 40, "")]
    chat = TaskSpec(title="t", metrics=("exact_match",))
    choice = chat.model_copy(update={"kind": "choice"})
    assert [one.id for one in in_order(rows, chat)] == ["b", "e", "c", "a", "d"]
    assert [one.id for one in in_order(rows, choice)] == ["b", "d", "e", "c", "a"]
    assert [one.id for one in in_order(rows[::-1], choice)] == ["b", "d", "e", "c", "a"]
