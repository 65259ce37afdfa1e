"""One file with planted defects, through the real command: each is found as often as planted, and nothing else."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import EXAM, LISTS, MIXED, Planted, planted

from luthier.artifact.store import Store
from luthier.cli.main import main
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.prepare.lint.table import FINDINGS

ELSEWHERE = {
    "D111": "whether a row is too long, or cut, is a setting: the second run cuts",
    "D115": "only preference pairs have two answers: the list `pairs`",
    "D201": "a template that never ends ends no answer: all rows of `pairs` by another template",
    "D202": "an answer is cut only where length.when_longer=truncate",
    "D308": "only classes are out of balance: the list `classes`",
}
"""Findings that a second run over the same file shows, and why the first cannot."""
NOWHERE = {"D199": "the finding of reasons that no room gives: the table of reasons has a test of its own"}

NO_TOOLS = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ENDLESS = (
    "{% for message in messages %}{{ message.role }}:\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
Lint = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def file() -> Planted:
    return planted()


@pytest.fixture
def lint(file: Planted, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> Lint:
    """Give what lints one list of the file: `lint(list, *settings, template=...)`."""
    path, exam = tmp_path / "planted.json", tmp_path / "exam.jsonl"
    path.write_text(file.text(), encoding="utf-8")
    exam.write_text("".join(json.dumps({"question": text}) + "\n" for text in EXAM))

    def run(name: str, *settings: str, template: str = NO_TOOLS) -> dict[str, Any]:
        (tmp_path / "template.jinja").write_text(template)
        model = fetch(FetchSpec(source="tiny:llama", template=str(tmp_path / "template.jinja")), store, hush)
        command = ["--project", str(store.root), "prepare", str(path), "--model", model.id, f"where._list={name}"]
        with pytest.raises(SystemExit) as ended:
            main([*command, *settings, "--lint", "--json", "--processes", "1"])
        assert ended.value.code == 1
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return report

    return run


def found(report: dict[str, Any]) -> dict[str, int]:
    return {finding["code"]: finding["count"] for finding in report["findings"]}


CHATS = (
    "split.by=group",
    "columns.group=owner",
    "columns.tag=tag",
    *(f"split.{name}={share}" for name, share in MIXED.items()),
    "clean.html=strip",
    "clean.min_characters=2",
    'lint.recall=["again"]',
)


def chats(lint: Lint, tmp_path: Path, *settings: str) -> dict[str, Any]:
    return lint("chats", *CHATS, f'lint.against=["{tmp_path}/exam.jsonl"]', *settings)


def test_each_planted_row_is_found_by_its_line_and_nothing_else_is(file: Planted, lint: Lint, tmp_path: Path) -> None:
    report = chats(lint, tmp_path, "length.when_longer=drop")
    counts = {code: len(numbers) for code, numbers in file.numbers.items()}
    assert found(report) == {**counts, "D401": 1}
    assert report["not_looked_for"] == {}
    for finding in report["findings"]:
        lines = [int(re.findall(r"planted\.json:(\d+)", place["where"])[0]) for place in finding["examples"]]
        wanted = [file.line(number) for number in file.numbers.get(finding["code"], ())]
        assert len(lines) == min(3, len(wanted))
        assert set(lines) <= set(wanted)


def test_what_is_cut_is_found_in_place_of_what_is_too_long(file: Planted, lint: Lint, tmp_path: Path) -> None:
    counts = found(chats(lint, tmp_path, "length.when_longer=truncate"))
    assert counts["D202"] == 1
    assert "D111" not in counts
    assert set(counts) - {"D202"} == set(file.numbers) - {"D111"} | {"D401"}


def test_pairs_and_classes_of_the_same_file_have_their_own(file: Planted, lint: Lint) -> None:
    alone = ("split.train=1", "split.dev=0", "split.test=0")
    broken = {"D101": 1}  # a row that is no object is of no list's rows
    assert found(lint("pairs", *alone)) == {**broken, "D115": 1}
    assert found(lint("pairs", *alone, template=ENDLESS)) == {**broken, "D115": 1, "D201": len(file.pairs) - 1}
    assert found(lint("classes", *alone)) == {**broken, "D308": 1}


def test_every_finding_is_planted(file: Planted) -> None:
    assert set(FINDINGS) == {*file.numbers, *ELSEWHERE, *NOWHERE, "D401"}
    assert [len(getattr(file, name)) > 0 for name in LISTS] == [True] * 3
