"""What a mend tells people to install can be installed."""

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRA = re.compile(r"luthier\[([a-z,_-]+)\]")


def test_every_extra_that_is_named_somewhere_is_there() -> None:
    texts = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")]
    named = {
        extra: path.relative_to(REPOSITORY).as_posix()
        for path in texts
        for found in EXTRA.findall(path.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert len(named) > 3
    assert {extra: where for extra, where in named.items() if extra not in PROJECT["optional-dependencies"]} == {}


def test_an_extra_asks_only_for_extras_that_are_there() -> None:
    lines = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    named = {extra for line in lines for found in EXTRA.findall(line) for extra in found.split(",")}
    assert named
    assert named <= set(PROJECT["optional-dependencies"])
