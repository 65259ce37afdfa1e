"""Files and functions keep to their size and their names; the arrows between rooms point one way."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.recipe.stages import STAGES

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "luthier"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
CODE = [
    *MODULES,
    *TESTS,
    *sorted((REPOSITORY / "recipes").rglob("*.py")),
    *sorted((REPOSITORY / "bench").rglob("*.py")),
]
PAPERS = [
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "recipes").rglob("*.yaml")),
]
BANNED_NAMES = {"utils", "util", "common", "misc", "helpers", "helper", "base", "core", "manager"}
WORKPLACE = re.compile(
    r"\b(issues?|tickets?) #?\d+\b|\bfarm[-]bench\b|\bbefore[-]stop\b|\b(this|last|next|another|earlier) session\b",
    re.I,
)
"""What says where and when something was built, which no reader can look up."""


def shown(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_code_to_look_at() -> None:
    assert len(MODULES) > 50
    assert len(TESTS) > 30
    assert PAPERS


def test_no_file_is_longer_than_400_lines() -> None:
    long = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {path: lines for path, lines in long.items() if lines > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {
        f"{shown(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in CODE
        for node in functions(path)
    }
    assert len(lengths) > 500
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_a_file_is_named_for_what_it_does() -> None:
    names = {shown(path): {path.stem, path.stem.removeprefix("test_"), *path.parent.parts} for path in CODE}
    assert [path for path, parts in names.items() if parts & BANNED_NAMES] == []


def test_every_room_has_its_tests() -> None:
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert rooms
    assert [room for room in rooms if not list((REPOSITORY / "tests" / room).glob("test_*.py"))] == []


def test_no_two_test_files_share_a_name() -> None:
    names = Counter(path.name for path in TESTS if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_tells_of_the_place_where_it_was_built() -> None:
    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in [*CODE, *PAPERS]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if WORKPLACE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", [f"see issue {2}", f"Issue #{12} asks", f"as in the {'last'} session"])
def test_the_words_of_a_workplace_are_known(line: str) -> None:
    assert WORKPLACE.search(line)
    assert not WORKPLACE.search('@pytest.fixture(scope="session")')


def test_the_contracts_between_rooms_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_contracts_name_every_stage() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["name"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    stages = {f"luthier.{name}" for name in [*STAGES, "serve"]}
    assert stages <= set(contracts["Stages are strangers"]["modules"])
    assert {f"{stage}.spec" for stage in stages} <= set(contracts["Specs are light"]["source_modules"])
    assert stages - {"luthier.tune"} <= set(contracts["Only tune and distill reach learn"]["source_modules"])
