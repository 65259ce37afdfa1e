"""The command line as the shell sees it: words, streams and exit statuses; the help loads nothing heavy."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from luthier import __version__
from luthier.cli import main as face
from luthier.cli.main import EXIT_STATUS, WORDS, luthier, main
from luthier.errors import DataError, GateError, LuthierError, Stopped
from luthier.recipe.stages import STAGES

HEAVY = ("torch", "transformers", "peft", "pydantic", "numpy", "rich", "starlette", "matplotlib")
LOADED = """
import sys
from luthier.cli.main import main
main(["--help"])
print([name for name in sys.argv[1:] if name in sys.modules], file=sys.stderr)
"""
Caught = pytest.CaptureFixture[str]


def shell(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luthier", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def failing(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("fail", callback=callback)


def status_of(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(face, "_load", lambda path: failing(error))
    with pytest.raises(SystemExit) as caught:
        main(["list"])
    return caught.value.code


def test_the_help_names_every_stage_and_word() -> None:
    done = shell("--help")
    assert (done.returncode, done.stderr) == (0, "")
    named = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.split()]
    assert STAGES
    assert WORDS
    assert [word for word in (*STAGES, *WORDS) if word not in named] == []


def test_the_help_loads_nothing_heavy() -> None:
    command = [sys.executable, "-c", LOADED, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: luthier" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_help_answers_in_under_half_a_second() -> None:
    seconds = []
    for _ in range(3):
        begun = time.monotonic()
        assert shell("--help").returncode == 0
        seconds.append(time.monotonic() - begun)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("word", [*STAGES, *WORDS])
def test_every_word_has_a_help_of_its_own(word: str, capsys: Caught) -> None:
    main([word, "--help"])
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: luthier {word} ")
    assert said.err == ""


def test_the_words_have_no_stage_among_them() -> None:
    assert not set(STAGES) & set(WORDS)
    assert luthier.list_commands(click.Context(luthier)) == [*STAGES, *WORDS]


def test_the_version_is_told(capsys: Caught) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"luthier {__version__}\n"


def test_an_error_is_three_lines_on_stderr_and_status_1(tmp_path: Path) -> None:
    done = shell("show", "nothing", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: 0 artifacts are called 'nothing' (found: none)",
        "  where: .luthier/artifacts",
        "  mend:  give the id as `luthier list` shows it",
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("odd", where="here", mend="so"), 1),
        (GateError("refused", where="here", mend="so"), 3),
        (Stopped("stopped", where="here", mend="so"), 130),
    ],
)
def test_each_error_has_its_exit_status(
    error: LuthierError, status: int, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    assert EXIT_STATUS.get(type(error), 1) == status
    assert status_of(error, monkeypatch) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {error.what}\n  where: here\n  mend:  so\n"


def test_a_wrong_command_line_is_status_2_and_names_what_is_wrong() -> None:
    for words, wrong in (
        (["nonsense"], "nonsense"),
        (["list", "--kind", "tea"], "tea"),
        (["tune", "--seed=1"], "--seed"),
    ):
        done = shell(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert wrong in done.stderr
        assert "Usage: luthier" in done.stderr


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: Caught) -> None:
    assert status_of(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.strip() == "error: stopped"


def test_a_mistake_of_ours_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "_load", lambda path: failing(AssertionError("our own mistake")))
    with pytest.raises(AssertionError, match="our own mistake"):
        main(["list"])


def test_stdout_holds_data_only(tmp_path: Path) -> None:
    done = shell("--project", str(tmp_path / "p"), "fetch", "tiny:llama")
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    assert done.stdout == f"{name}\n"
    assert name.startswith("model-")
    assert f"fetch {name}" in done.stderr
    again = shell("--project", str(tmp_path / "p"), "fetch", "tiny:llama")
    assert (again.stdout, again.returncode) == (done.stdout, 0)
    assert f"fetch {name} is there already" in again.stderr
    card = shell("--project", str(tmp_path / "p"), "show", name, "--json")
    assert json.loads(card.stdout)["id"] == name
    assert card.stderr == ""


def test_no_environment_variable_of_ours_changes_where_the_project_lies(tmp_path: Path) -> None:
    environment = {**os.environ, "LUTHIER_PROJECT": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-m", "luthier", "show"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "  where: .luthier\n" in done.stderr
