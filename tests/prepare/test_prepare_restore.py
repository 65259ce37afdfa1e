"""What cleaning changed or left out comes back as it was, with why, through the real command."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.example import SPLITS, read_examples
from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Artifact) -> Path:
    """Give a folder with a project that holds the tiny model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model.folder, tmp_path / ".luthier" / "artifacts" / tiny_model.id)
    return tmp_path


def pair(question: str, answer: str, **more: object) -> dict[str, Any]:
    return {"instruction": question, "output": answer, **more}


LONG = " ".join(f"w{number}" for number in range(60))
ROWS = [
    pair("Which wood?", "Spruce."),
    pair("Whose shop?", "<p>Li's: li@qq.com</p>", shelf=3),
    pair("Which wood?", "Spruce.", shelf=4),
    pair("Which glue?", "Hide glue, <b>always</b> &amp; only."),
    pair("Say flibber?", "No."),
    pair("Too short?", "y"),
    pair("How long?", f"{LONG} end"),
    pair("How long?", f"{LONG} end indeed"),
]
SETTINGS = (
    "clean.html=strip",
    "clean.personal=mask",
    "clean.blocklist=blocked.txt",
    "clean.min_characters=2",
    "clean.near_duplicates=0.8",
    "split.train=1",
    "split.dev=0",
    "split.test=0",
)


def restored(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    main(["prepare", "--restore", *arguments])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def why(row: dict[str, Any]) -> list[str]:
    return [f"{change['rule']} {change['action']}" for change in row["_why"]]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("_source", "_why")}


@pytest.mark.parametrize("form", ["lines", "one line", "nested", "gz"])
def test_rows_come_back_as_their_files_have_them(form: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("blocked.txt").write_text("flibber\n")
    name = {"lines": "rows.jsonl", "gz": "rows.jsonl.gz"}.get(form, "rows.json")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    if form == "gz":
        Path(name).write_bytes(gzip.compress(lines.encode()))
    else:
        one_line = json.dumps({"shop": [{"rows": ROWS}]} if form == "nested" else ROWS)
        Path(name).write_text(lines if form == "lines" else one_line)
    main(["prepare", name, *SETTINGS])
    found = restored(capsys)
    more = {"_list": "shop"} if form == "nested" else {}
    near = 6 if {**more, **ROWS[6]} in [plain(row) for row in found] else 7  # one of two that are alike stays
    wanted = [1, 2, 3, 4, 5, near]
    assert [plain(row) for row in found] == [{**more, **ROWS[number]} for number in wanted]
    assert [row["_source"] for row in found] == [
        f"{name}:{number + 1 if form in ('lines', 'gz') else 1}" for number in wanted
    ]
    assert [why(row) for row in found] == [
        ["html changed", "personal masked"],
        ["exact_duplicates dropped"],
        ["html changed"],
        ["blocklist dropped"],
        ["min_characters dropped"],
        ["near_duplicates dropped"],
    ]
    assert "the same as" in found[1]["_why"][0]["before"]
    assert "li@qq.com" in found[0]["output"]  # the record does not hold it: the file does
    assert "li@qq.com" not in json.dumps([row["_why"] for row in found])


def test_what_is_restored_can_be_prepared_without_the_rules(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("blocked.txt").write_text("flibber\n")
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    main(["prepare", "rows.jsonl", *SETTINGS])
    first = capsys.readouterr().out.strip()
    main(["prepare", "--restore", first, "--out", "back.jsonl"])
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-1] == f"{first}: rows changed 2, left out 4: back.jsonl"
    main(["prepare", "back.jsonl", "clean.exact_duplicates=keep", *SETTINGS[-3:]])
    second = Store(project / ".luthier").find(capsys.readouterr().out.strip())
    answers = {one.messages[-1].content for split in SPLITS for one in read_examples(second.folder, split)}
    assert answers >= {"<p>Li's: li@qq.com</p>", "Spruce.", "Hide glue, <b>always</b> &amp; only.", "No.", "y"}
    assert restored(capsys, second.id) == []


def test_the_newest_is_restored_and_nothing_where_no_rule_did_anything(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    main(["prepare", "rows.jsonl", *SETTINGS[-3:]])
    assert restored(capsys) == []


def refused(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prepare", *arguments])
    assert ended.value.code == 1


def test_a_file_that_is_another_or_gone_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (ROWS[0], ROWS[3])))
    main(["prepare", "rows.jsonl", "clean.html=strip", *SETTINGS[-3:]])
    Path("rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    refused("--restore")
    said = capsys.readouterr().err
    assert "rows.jsonl is not the file that was prepared" in said
    assert "bring back the file as it was" in said
    Path("rows.jsonl").unlink()
    refused("--restore")
    said = capsys.readouterr().err
    assert "the rows are not where they were: there is no file 'rows.jsonl'" in said
    assert "in the folder where prepare was called" in said


def test_options_that_do_not_go_together_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused("--restore")
    assert "nothing is prepared yet" in capsys.readouterr().err
    refused("rows.jsonl", "--restore")
    assert "--restore takes no settings" in capsys.readouterr().err
    refused("rows.jsonl", "--out", "x.jsonl")
    assert "--out goes with --restore" in capsys.readouterr().err
    refused("--restore", "examples-0")
    assert "error:" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.jsonl").write_text(json.dumps(ROWS[3]) + "\n")
    main(["prepare", "rows.jsonl", "clean.html=strip", *SETTINGS[-3:]])
    Path("file").write_text("")
    refused("--restore", "--out", "file/back.jsonl")
    assert "give a path that can be written" in capsys.readouterr().err
