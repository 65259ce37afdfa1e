"""Tasks and real evaluation sets in `lint.against`: their own rows are found in them, and what is not read is told."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main
from luthier.errors import DataError, SpecError
from luthier.event import Said, Warned, hush
from luthier.prepare.lint.against import read_passages
from luthier.prepare.lint.exam import find_exam
from luthier.prepare.run import prepare
from luthier.prepare.spec import PrepareSpec
from luthier.recipe.load import load_recipe

TASK = "title: Sums\nmetrics: [exact_match]\nreference: '{{ answer }}'\n"
BOILERPLATE = "Think hard about the question below, one step after the other, and write down the last number alone"
Folder = Callable[[str], Path]


def heads(path: Path, count: int) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(next(file)) for _ in range(count)]


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_task_with_rows_beside_it_is_read_and_what_its_prompt_says_itself_is_not(
    tmp_path: Path, data_folder: Folder, told: list[object]
) -> None:
    rows = heads(data_folder("gsm8k") / "train.jsonl.gz", 8)
    asked = [{"stem": row["question"], "answer": row["answer"]} for row in rows[:4]]
    lines(tmp_path / "sums.jsonl", asked)
    task = tmp_path / "sums.yaml"
    task.write_text(f'{TASK}rows: sums.jsonl\nprompt: "{BOILERPLATE}: {{{{ stem | trim }}}}"\n')
    passages = read_passages([str(task)], 13, told.append)
    assert passages is not None
    assert [passages.owner_in(f"So: {row['question']}") is not None for row in rows] == [True] * 4 + [False] * 4
    assert passages.owner_in(f"{BOILERPLATE}: what is 2 and 2") is None
    assert told == [Said(f"lint.against: 4 questions in {tmp_path / 'sums.jsonl'} (task {task})")]


def test_a_task_whose_rows_lack_the_columns_of_its_prompt_is_an_error(tmp_path: Path) -> None:
    lines(tmp_path / "sums.jsonl", [{"question": "2 + 2?"}])
    task = tmp_path / "sums.yaml"
    task.write_text(TASK + 'rows: sums.jsonl\nprompt: "{{ stem }}"\n')
    with pytest.raises(DataError) as caught:
        read_passages([str(task)], 13, hush)
    assert "stem" in caught.value.what
    assert caught.value.where == f"key lint.against, {task}"
    assert "own rows" in caught.value.mend
    task.write_text(TASK + 'rows: sums.jsonl\nprompt: "{{ stem"\n')
    with pytest.raises(SpecError) as broken:
        read_passages([str(task)], 13, hush)
    assert broken.value.where == f"{task}, key prompt"
    assert "{{ column }}" in broken.value.mend


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        (TASK + 'prompt: "{{ question }}"\nsource: test.jsonl of somebody\n', "where its rows", "task.yaml=FILE in"),
        ("title: Sums\nmetrics: [rouge_l]\n", "no rows of its own", "file of rows"),
        (
            None,
            "gsm8k does not say where its rows are",
            "write gsm8k=FILE in lint.against, with the file",
        ),
    ],
    ids=["rows are given to it", "prepared examples", "a shipped one"],
)
def test_a_task_that_names_no_rows_is_told_with_what_to_give_as_well(
    tmp_path: Path, told: list[object], text: str | None, what: str, mend: str
) -> None:
    named = "gsm8k" if text is None else str(tmp_path / "task.yaml")
    if text is not None:
        Path(named).write_text(text)
    assert read_passages([named], 13, told.append) is None
    [warned] = told
    assert isinstance(warned, Warned)
    assert what in warned.what
    assert mend in warned.mend


def test_the_report_says_that_nothing_was_looked_for_where_no_rows_were_named(
    tiny_store: Store, tiny_model: Artifact, rows_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--project", str(tiny_store.root), "prepare", str(rows_file), "--model", tiny_model.id]
    with pytest.raises(SystemExit):
        main([*command, "lint.against=[gsm8k]", "--lint", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["not_looked_for"] == {"D309": "a file of rows in lint.against (gsm8k: none is named)"}


def test_real_rows_that_were_put_into_training_are_found_by_their_task(
    tmp_path: Path, data_folder: Folder, tiny_store: Store, tiny_model: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = heads(data_folder("gsm8k") / "train.jsonl.gz", 60)
    train = lines(tmp_path / "train.jsonl", [{"instruction": row["question"], "output": "See."} for row in rows[:40]])
    lines(tmp_path / "sums.jsonl", rows[30:])
    (tmp_path / "sums.yaml").write_text(TASK + 'rows: sums.jsonl\nprompt: "{{ question }}"\n')
    shares = ["split.train=1", "split.dev=0", "split.test=0"]
    command = ["--project", str(tiny_store.root), "prepare", train, "--model", tiny_model.id, *shares]
    with pytest.raises(SystemExit) as ended:
        main([*command, f"lint.against=[{tmp_path / 'sums.yaml'}]", "--lint", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert {one["code"]: one["count"] for one in report["findings"]}["D309"] == 10
    assert "D309" not in report["not_looked_for"]


def test_a_name_that_no_shipped_task_has_is_an_error() -> None:
    for named in ("gsm9k", "gsm9k=rows.jsonl"):
        with pytest.raises(SpecError) as caught:
            find_exam(named)
        assert caught.value.where == "key lint.against"
        assert "did you mean 'gsm8k'?" in caught.value.mend


def stolen_from(tmp_path: Path, data_folder: Folder) -> tuple[str, str]:
    """Give a training file that holds ten questions of an evaluation file, and that file."""
    rows = heads(data_folder("gsm8k") / "train.jsonl.gz", 60)
    train = lines(tmp_path / "train.jsonl", [{"instruction": row["question"], "output": "See."} for row in rows[:40]])
    return train, lines(tmp_path / "sums.jsonl", rows[30:])


SHARES = ("split.train=1", "split.dev=0", "split.test=0")


def linted(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, int], str]:
    """Give the findings of the real command, and what it tells."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*arguments, *SHARES, "--lint", "--json"])
    said = capsys.readouterr()
    return {one["code"]: one["count"] for one in json.loads(said.out)["findings"]}, said.err


def test_a_shipped_tasks_questions_are_looked_for_in_the_rows_it_is_given(
    tmp_path: Path, data_folder: Folder, tiny_store: Store, tiny_model: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    train, exam = stolen_from(tmp_path, data_folder)
    command = ("--project", str(tiny_store.root), "prepare", train, "--model", tiny_model.id)
    found, told = linted(capsys, *command, f'lint.against=["gsm8k={exam}"]')
    assert found["D309"] == 10
    assert "30 questions" in told
    assert "(task gsm8k)" in told


def test_a_shipped_tasks_rows_are_those_that_scores_here_asked_it_with(
    tmp_path: Path,
    data_folder: Folder,
    store: Store,
    tiny_model: Artifact,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, exam = stolen_from(tmp_path, data_folder)
    shutil.copytree(tiny_model.folder, store.artifacts / tiny_model.id)
    command = ("--project", str(store.root), "prepare", train, "lint.against=[gsm8k]")
    found, told = linted(capsys, *command)
    assert "D309" not in found
    assert "write gsm8k=FILE" in " ".join(told.split())
    for rows in ("gone.jsonl", exam):
        order = Order("scores", "evaluate", 1, {"task": "gsm8k", "rows": rows}, {"model": tiny_model.id})
        made = store.make(order, lambda out, work: {}, hush)
    found, told = linted(capsys, *command)
    assert found["D309"] == 10
    assert f"gsm8k={exam} ({made.id} asked it with these rows)" in "".join(told.split("\n  "))


def test_a_shipped_tasks_rows_are_those_that_the_recipe_asks_it_with(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "prepare: {source: rows.jsonl, lint: {against: [gsm8k, mmlu, more.jsonl]}}\n"
        "sums: {stage: evaluate, task: gsm8k, rows: data/test.jsonl}\nevaluate: {}\n"
    )
    prepared = load_recipe(recipe).steps[0].spec
    assert isinstance(prepared, PrepareSpec)
    assert prepared.lint.against == ("gsm8k=data/test.jsonl", "mmlu", "more.jsonl")
    assert prepared.model_fields_set == {"source", "lint"}


@pytest.mark.parametrize(
    ("file", "count", "text"),
    [
        ("bfcl/BFCL_v4_simple_python.json", 400, "Find the area of a triangle with a base of 10 units and height of 5"),
        ("halueval/general_data.json.gz", 4507, "Produce a list of common words in the English language."),
        ("cmrc2018/cmrc2018_trial.json.gz", 256 + 1002 - 2, "生命数耗完即算为什么"),  # texts, questions; two are empty
        ("mmlu/mmlu.zip", 14_327, "A lesion causing compression of the facial nerve at the stylomastoid foramen will"),
    ],
)
def test_the_rows_of_shipped_tasks_are_read_as_they_are(
    data_folder: Folder, told: list[object], file: str, count: int, text: str
) -> None:
    name, _, inside = file.partition("/")
    path = data_folder(name) / inside
    passages = read_passages([str(path)], 13, told.append)
    assert passages is not None
    assert told == [Said(f"lint.against: {count:,} questions in {path}")]
    found = passages.owner_in(text)
    assert found is not None
    assert found.startswith(str(path))


def test_a_task_chooses_files_in_a_zip_and_a_folder(tmp_path: Path, told: list[object]) -> None:
    (tmp_path / "exam").mkdir()
    for name, question in (("dev", "Is this one shown before it?"), ("test", "Is this one asked of the model?")):
        (tmp_path / "exam" / f"{name}.csv").write_text(f"question,answer\n{question},yes\n")
    with zipfile.ZipFile(tmp_path / "exam.zip", "w") as archive:
        for path in sorted((tmp_path / "exam").iterdir()):
            archive.write(path, path.name)
    for rows in ("exam", "exam.zip"):
        task = tmp_path / "task.yaml"
        task.write_text(f'{TASK}rows: {rows}\ninside: "te*.csv"\nprompt: "{{{{ question }}}}"\n')
        passages = read_passages([str(task)], 13, told.append)
        assert passages is not None
        assert passages.places == (f"{tmp_path / rows}/test.csv:2",)
        task.write_text(f'{TASK}rows: {rows}\ninside: "*.tsv"\nprompt: "{{{{ question }}}}"\n')
        with pytest.raises(DataError) as caught:
            read_passages([str(task)], 13, told.append)
        assert caught.value.where == f"key lint.against, {tmp_path / rows}"
        assert "inside" in caught.value.mend
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK no more")
    with pytest.raises(DataError) as caught:
        read_passages([str(broken)], 13, told.append)
    assert caught.value.where == f"key lint.against, {broken}"
    assert "unpack" in caught.value.mend


def test_an_order_knows_what_a_tasks_rows_hold(
    tmp_path: Path, tiny_store: Store, tiny_model: Artifact, rows_file: Path
) -> None:
    task = tmp_path / "sums.yaml"
    task.write_text(TASK + 'rows: sums.jsonl\nprompt: "{{ question }}"\n')
    spec = PrepareSpec.model_validate({"source": str(rows_file), "lint": {"against": [str(task)]}})
    lines(tmp_path / "sums.jsonl", [{"question": "What is 1 plus 1?"}])
    first = prepare(spec, tiny_model, None, tiny_store, hush, processes=1)
    assert prepare(spec, tiny_model, None, tiny_store, hush, processes=1).id == first.id
    lines(tmp_path / "sums.jsonl", [{"question": "What is 2 plus 2?"}])
    assert prepare(spec, tiny_model, None, tiny_store, hush, processes=1).id != first.id
    assert set(find_exam(str(task)).contents()) == {"", ".rows"}
    assert set(find_exam("gsm8k").contents()) == {""}
    assert set(find_exam(f"gsm8k={tmp_path / 'sums.jsonl'}").contents()) == {"", ".rows"}
