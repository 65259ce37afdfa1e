"""The questions of evaluation sets, as they are written in the wild; and the report as a person reads it."""

import json
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main
from luthier.errors import DataError
from luthier.event import Said
from luthier.prepare.lint.against import read_passages
from luthier.prepare.lint.asked import questions_of


@pytest.mark.parametrize(
    ("row", "questions"),
    [
        ({"question": "2 + 2?", "answer": "4"}, ["2 + 2?"]),
        ({"task_id": "HumanEval/0", "prompt": "def f():", "canonical_solution": "pass"}, ["def f():"]),
        ({"instruction": "Add.", "input": "2, 2", "output": "4"}, ["Add.\n2, 2"]),
        ({"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "No."}]}, ["Hi?"]),
        ({"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "No."}]}, ["Hi?"]),
        ({"turns": ["First?", "Second?"]}, ["First?", "Second?"]),
        ({"question": [[{"role": "user", "content": "Hi?"}], [{"role": "user", "content": "So?"}]]}, ["Hi?", "So?"]),
        ({"question": [], "prompt": "Hi?"}, ["Hi?"]),
        ({"ID": "1", "user_query": "Hi?", "chatgpt_response": "No."}, ["Hi?"]),
        ({"id": "0", "claim": "Parrots speak.", "label": "SUPPORT"}, ["Parrots speak."]),
        (
            {"paragraphs": [{"context": "Parrots.", "qas": [{"question": "Who?"}, {"question": "Why?"}]}, {"qas": []}]},
            ["Parrots.", "Who?", "Why?"],
        ),
        ({"paragraphs": ["torn"], "title": "x"}, []),
        ({"label": 1}, []),
    ],
)
def test_questions_are_found_where_evaluation_sets_keep_them(row: dict[str, object], questions: list[str]) -> None:
    assert questions_of(row) == questions


def test_a_file_gives_passages_and_says_how_many_questions_it_has(tmp_path: Path, told: list[object]) -> None:
    path = tmp_path / "exam.jsonl"
    path.write_text(json.dumps({"question": "Where do parrots live?"}) + "\n")
    passages = read_passages([str(path)], 13, told.append)
    assert passages is not None
    assert passages.owner_in("Where do parrots live") == f"{path}:1"
    assert told == [Said(f"lint.against: 1 questions in {path}")]


def test_a_file_without_questions_is_an_error(tmp_path: Path, told: list[object]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"label": 1}\n{"question": "?!"}\n')
    with pytest.raises(DataError) as caught:
        read_passages([str(rows)], 13, told.append)
    assert caught.value.where == "key lint.against"
    assert "question" in caught.value.mend


def test_the_report_is_readable_and_nothing_is_made(
    tmp_path: Path, store: Store, tiny_store: Store, tiny_model: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"instruction": f"What is {number}?", "output": "" if number == 3 else f"{number} it is."}
        for number in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = sorted(tiny_store.root.rglob("card.json"))
    with pytest.raises(SystemExit) as ended:
        main(["--project", str(tiny_store.root), "prepare", str(path), "--model", tiny_model.id, "--lint"])
    text = capsys.readouterr().out
    assert ended.value.code == 1
    assert f"      {path}:4  the answer is empty\n      mend: fill it in" in text
    assert "lengths in tokens  p50" in text
    assert "advice\n  - " in text
    assert text.rstrip().splitlines()[-1].startswith("lint: 1 error")
    assert sorted(tiny_store.root.rglob("card.json")) == before
    assert not list(tiny_store.work.glob("lint-*"))


def test_json_without_lint_is_refused(
    tmp_path: Path, tiny_store: Store, tiny_model: Artifact, rows_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--project", str(tiny_store.root), "prepare", str(rows_file), "--json"])
    said = capsys.readouterr().err
    assert "where: command line" in said
    assert "mend:  add --lint, or leave --json out" in said


def test_lint_draws_the_lengths_too_where_it_is_asked_to(
    tmp_path: Path, tiny_store: Store, tiny_model: Artifact, rows_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--project", str(tiny_store.root), "prepare", str(rows_file), "--model", tiny_model.id]
    picture = tmp_path / "lengths.png"
    with pytest.raises(SystemExit):
        main([*command, "--lint", "--json", "--lengths-png", str(picture)])
    assert json.loads(capsys.readouterr().out)["rows"]["read"] == 60
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main([*command, "--lint", "--lengths-png", str(tmp_path / "nowhere" / "lengths.png")])
    assert "mend:  give a path in a folder that you may write to" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--lengths-png", str(picture)])
    assert "mend:  add --lint, or leave --lengths-png out" in capsys.readouterr().err


def test_what_is_prepared_carries_its_report_and_picture(tiny_data: Artifact) -> None:
    report = json.loads((tiny_data.folder / "lint.json").read_text(encoding="utf-8"))
    assert report["rows"]["read"] == 60
    assert (tiny_data.folder / "lengths.png").read_bytes().startswith(b"\x89PNG")
