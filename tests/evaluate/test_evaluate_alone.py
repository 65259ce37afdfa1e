"""One model, held against nothing, on rows of a task's own."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import pytest
from fake_chat import made
from fake_models import Bench, bench, example

from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, KindError, SpecError, StoreError
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Estimated, Event, Warned, hush

TASK = """
title: Sums
prompt: "{{ a }} + {{ b }} = ?"
reference: "{{ a + b }}"
filters: [last_number]
metrics: [exact_match]
"""


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Give a folder with a task of sums, and its rows beside it."""
    (tmp_path / "task.yaml").write_text(TASK + "rows: sums.jsonl\n", encoding="utf-8")
    rows = [{"a": number, "b": 10} for number in range(30)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def alone(found: Bench, spec: EvaluateSpec, told: list[Event] | None = None) -> Artifact:
    tell = hush if told is None else told.append
    return evaluate(spec, None, None, None, found.tuned, found.store, tell, found.open_model)


def adder(question: str) -> str:
    """Add, but for 7."""
    left, right = (int(part) for part in question.removesuffix(" = ?").split(" + "))
    return "I cannot." if left == 7 else f"It is {left} and {right}, so {left + right}.0"


def table(found: Artifact) -> dict[str, dict[str, float]]:
    metrics: dict[str, dict[str, float]] = found.card.figures["heldout"]["metrics"]
    return metrics


def test_one_model_alone_is_measured_with_an_interval(store: Store, sums: Path, told: list[Event]) -> None:
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = adder
    made = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=20_000), told)
    figures = table(made)["exact_match"]
    assert figures["value"] == pytest.approx(29 / 30)
    # scipy 1.17.1, stats.bootstrap(method="BCa", n_resamples=200_000): 25 / 30 to 1
    assert (figures["low"], figures["high"]) == pytest.approx((25 / 30, 1), abs=1 / 30 + 1e-9)
    [event] = [event for event in told if isinstance(event, Estimated)]
    assert (event.metric, event.rows, event.value) == ("exact_match", 30, figures["value"])
    assert found.opened == [found.tuned.id]
    assert made.card.inputs.keys() == {"model", "task", "rows"}
    rows = [json.loads(line) for line in (made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    wrong = [row for row in rows if row["metrics"]["exact_match"]["value"] == 0]
    assert [(row["question"], row["answer"], row["reference"]) for row in wrong] == [("7 + 10 = ?", "I cannot.", "17")]
    assert wrong[0]["statistics"]["exact_match"]["value"] == [0.0, 1.0]
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("7 + 10 = ?") < page.index("8 + 10 = ?")  # the worst first
    assert "Gain" not in page


def test_what_was_answered_once_is_not_asked_again_by_another_evaluation(store: Store, sums: Path) -> None:
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = adder
    first = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100, limit=12))
    found.models[found.tuned.id].batches.clear()
    (sums / "task.yaml").write_text(TASK.replace("[exact", "[rouge_l, exact") + "rows: sums.jsonl\n", encoding="utf-8")
    second = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100))
    assert second.id != first.id
    assert found.models[found.tuned.id].batches == [18]  # 30 less the 12 that are known


def test_a_model_that_was_altered_on_disk_is_not_asked(store: Store, sums: Path) -> None:
    def fill(out: Path) -> None:
        (out / "weights").write_text("as made")

    found = bench(store, [example(1)])
    altered = made(store, "model", "altered", {}, fill)
    (altered.folder / "weights").write_text("altered")
    spec = EvaluateSpec(task=str(sums / "task.yaml"), alone=True)
    with pytest.raises(StoreError, match=r"weights of .* differs from its checksum"):
        evaluate(spec, None, None, None, altered, store, hush, found.open_model)
    assert found.opened == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [("positive", "heldout: all 30 answers are the same: 'positive'"), ("", "heldout: all 30 answers are empty")],
)
def test_answers_that_are_all_the_same_are_warned_of(
    store: Store, sums: Path, told: list[Event], said: str, shown: str
) -> None:
    (sums / "task.yaml").write_text(
        TASK.replace("filters: [last_number]\n", "") + "rows: sums.jsonl\n", encoding="utf-8"
    )
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = lambda question: said
    alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100), told)
    [warned] = [event for event in told if isinstance(event, Warned) and "all 30" in event.what]
    assert warned.what == shown
    assert "mend the prompt or the filters" in warned.mend
    told.clear()
    spec = EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100, limit=5)
    alone(found, spec, told)  # five may be alike by chance
    assert not [event for event in told if isinstance(event, Warned) and "all 5 answers" in event.what]
    told.clear()
    with (sums / "task.yaml").open("a", encoding="utf-8") as task:
        task.write('tag: "part {{ a % 2 }}"\n')
    rows = [{"a": number, "b": 10} for number in range(60)]
    (sums / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100), told)
    [warned] = [event for event in told if isinstance(event, Warned) and re.search(r"all \d+ answers", event.what)]
    assert warned.what == shown.replace("heldout: all 30", "all: all 60")  # and not of each part once more


def test_another_token_limit_asks_anew(store: Store, sums: Path) -> None:
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = adder
    alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100))
    found.models[found.tuned.id].batches.clear()
    (sums / "task.yaml").write_text(TASK + "rows: sums.jsonl\nmax_tokens: 5\n", encoding="utf-8")
    alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100))
    assert found.models[found.tuned.id].batches == [30]


def test_scores_do_not_depend_on_the_order_of_rows_or_the_size_of_batches(tmp_path: Path, sums: Path) -> None:
    figures = []
    for number, size in enumerate((1, 7, 64)):
        found = bench(Store(tmp_path / f"store{number}"), [example(1)])
        found.models[found.tuned.id].say = adder
        lines = (sums / "sums.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (sums / "sums.jsonl").write_text("".join(lines[::-1]), encoding="utf-8")
        text = TASK + f"rows: sums.jsonl\nrows_per_batch: {size}\n"
        (sums / "task.yaml").write_text(text, encoding="utf-8")
        made = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=200))
        figures.append((table(made), (made.folder / "answers.jsonl").read_bytes().count(b"\n")))
        answers = sorted((made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines())
        assert len(answers) == 30
    assert figures[0] == figures[1] == figures[2]


def test_rows_lie_in_many_places(store: Store, tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("deep/x.csv", "a,b\n1,2\n")
        archive.writestr("deep/y.txt", "not this one")
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(b'{"data": [{"a": "1", "b": "2"}]}'))
    task = tmp_path / "task.yaml"
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = lambda asked: "3"
    for number, rows in enumerate(("csv", "rows.zip", "rows.json.gz")):
        text = TASK.replace("{{ a + b }}", "{{ a | int + b | int }}").replace("Sums", f"Sums {number}")
        task.write_text(f"{text}inside: '*.csv'\n", encoding="utf-8")
        made = alone(found, EvaluateSpec(task=str(task), rows=str(tmp_path / rows), alone=True, bootstrap=100))
        assert table(made)["exact_match"]["value"] == 1


def test_solved_rows_are_shown_before_and_not_asked(store: Store, sums: Path) -> None:
    found = bench(store, [example(1)])
    heard = []
    found.models[found.tuned.id].say = lambda asked: heard.append(asked) or "0"  # type: ignore[func-returns-value]
    text = TASK + 'rows: sums.jsonl\nkind: text\nshots: {count: 2, answer: " {{ a + b }}."}\n'
    text = text.replace("kind: text\n", "")
    (sums / "task.yaml").write_text(text, encoding="utf-8")
    made = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100))
    assert made.card.figures["heldout"]["rows"] == 28
    assert "0 + 10 = ?" not in heard
    assert "2 + 10 = ?" in heard


@pytest.mark.parametrize(
    ("change", "rows", "what", "where", "mend"),
    [
        ("where: a > 100\n", "sums.jsonl", "no row is left to be asked", "sums.jsonl", "change `where`"),
        ("context: '{{ c }}'\n", "sums.jsonl", "context cannot be filled in: 'c' is undefined", "sums.jsonl:1", "a, b"),
        ("context: '{{ c '\n", "sums.jsonl", "not a template", "task, template", "{{ column }}"),
        ("", "none.jsonl", "there is no such file", "none.jsonl", "rows=FILE"),
        ("", "task.yaml", "files ending in '.yaml' are not understood", "task.yaml", ".jsonl"),
        (
            "labels: ['1', '2']\n",
            "sums.jsonl",
            "the reference is '10', none of the labels 1, 2",
            "sums.jsonl:1",
            "labels",
        ),
        ("beside: {c: {file: task.txt}}\n", "sums.jsonl", "it has 1 rows, the rows' own file 30", "task.txt", "by: id"),
    ],
)
def test_rows_that_do_not_fit_their_task_say_where_and_how_to_mend_it(
    store: Store, sums: Path, change: str, rows: str, what: str, where: str, mend: str
) -> None:
    (sums / "task.txt").write_text("one\n", encoding="utf-8")
    (sums / "task.yaml").write_text(TASK + change, encoding="utf-8")
    found = bench(store, [example(1)])
    with pytest.raises((DataError, SpecError)) as caught:
        alone(found, EvaluateSpec(task=str(sums / "task.yaml"), rows=str(sums / rows), alone=True))
    assert what in caught.value.what
    assert where in caught.value.where
    assert mend in caught.value.mend
    assert found.opened == []


def test_a_shipped_task_without_rows_says_where_they_can_be_had(store: Store) -> None:
    with pytest.raises(SpecError) as caught:
        alone(bench(store, [example(1)]), EvaluateSpec(task="gsm8k", alone=True))
    assert caught.value.where == "key evaluate.rows"
    assert "github.com/openai/grade-school-math" in caught.value.mend


def test_rows_for_a_task_of_prepared_examples_are_refused(store: Store) -> None:
    found = bench(store, [example(1)])
    with pytest.raises(SpecError) as caught:
        alone(found, EvaluateSpec(task="answer", rows="x.jsonl", alone=True))
    assert caught.value.mend == "leave rows out, or name a task that has a prompt"


def test_a_reference_that_is_none_of_the_options_is_no_wrong_answer(store: Store, sums: Path) -> None:
    text = "title: t\nkind: choice\nprompt: '{{ a }}'\noptions: [' A', ' B']\nreference: '7'\nmetrics: [accuracy]\n"
    (sums / "task.yaml").write_text(text + "rows: sums.jsonl\n", encoding="utf-8")
    found = bench(store, [example(1)])
    with pytest.raises(DataError) as caught:
        alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True))
    assert caught.value.what == "the reference is '7', none of the options ' A', ' B'"
    assert caught.value.where.endswith("sums.jsonl:1")
    assert "number counted from 0" in caught.value.mend
    assert found.opened == []


def test_a_model_that_tells_no_likelihoods_is_refused_a_choice(store: Store, sums: Path) -> None:
    class Mouth:
        name = "mouth"

    text = "title: t\nkind: choice\nprompt: '{{ a }}'\noptions: [' A', ' B']\nreference: '0'\nmetrics: [accuracy]\n"
    (sums / "task.yaml").write_text(text + "rows: sums.jsonl\n", encoding="utf-8")
    found = bench(store, [example(1)])
    spec = EvaluateSpec(task=str(sums / "task.yaml"), alone=True)
    with pytest.raises(KindError) as caught:
        evaluate(spec, None, None, None, found.tuned, store, hush, lambda artifact: Mouth())  # type: ignore[arg-type, return-value]
    assert "mouth does not tell how likely" in caught.value.what
    assert "an artifact's id" in caught.value.mend


def test_a_benchmark_in_parts_has_a_figure_of_its_own_and_is_told_in_few_lines(
    store: Store, sums: Path, told: list[Event]
) -> None:
    found = bench(store, [example(1)])
    found.models[found.tuned.id].say = adder
    (sums / "task.yaml").write_text(TASK + 'rows: sums.jsonl\ntag: "part {{ a % 6 }}"\n', encoding="utf-8")
    made = alone(found, EvaluateSpec(task=str(sums / "task.yaml"), alone=True, bootstrap=100, limit=4), told)
    scores = made.card.figures
    assert list(scores)[:7] == ["all", *(f"part {number}" for number in range(6))]
    counted = {tag: scores[tag]["rows"] for tag in list(scores)[:7]}
    assert counted == {"all": 24, **{f"part {number}": 4 for number in range(6)}}
    parts = [scores[f"part {number}"]["metrics"]["exact_match"]["value"] for number in range(6)]
    assert scores["all"]["metrics"]["exact_match"]["value"] == pytest.approx(sum(parts) / 6)
    [limit] = [event for event in told if isinstance(event, Chose) and event.what.startswith("rows of")]
    assert (limit.what, limit.value) == (
        "rows of part 0, part 1, part 2, part 3 and 2 more", "24 of 30, at most 4 of each")  # fmt: skip
    few = [event.what for event in told if isinstance(event, Warned) and "a guess" in event.what]
    assert few == ["part 0, part 1, part 2, part 3 and 2 more: intervals from 4 or fewer independent rows are a guess"]
    assert len((made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 24
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "6 parts, each by itself" in page
    assert page.index("<h2>all") < page.index("<details>") < page.index("<h2>part 0") < page.index("</details>")
