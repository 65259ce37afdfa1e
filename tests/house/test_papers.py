"""The papers a reader looks for first are there and name the two commands."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_names_the_two_commands(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_the_chinese_readme_is_chinese() -> None:
    text = (REPOSITORY / "README.zh.md").read_text(encoding="utf-8")
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in text) > 100


def test_the_page_for_agents_fits_a_screen() -> None:
    lines = (REPOSITORY / "AGENTS.md").read_text(encoding="utf-8").splitlines()
    assert 0 < len(lines) <= 60


def test_the_changes_are_told() -> None:
    assert (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").strip()


def test_the_license_is_apache_2() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_makefile_has_the_promised_words() -> None:
    lines = (REPOSITORY / "Makefile").read_text(encoding="utf-8").splitlines()
    targets = {line.partition(":")[0] for line in lines if ":" in line and not line.startswith(("\t", "#", "."))}
    assert {"demo", "test", "setup", "fix", "check", "journey", "bench", "gpu"} <= targets
