"""What is public says what it is; every error says where it is and how to mend it."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier import errors
from luthier.errors import LuthierError

PACKAGE = Path(__file__).parents[2] / "src" / "luthier"
MODULES = sorted(PACKAGE.rglob("*.py"))
ERRORS = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LuthierError)}
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt]) -> Iterator[Documented]:
    """Give the public functions and classes of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def without_docstring(path: Path, text: str) -> Iterator[str]:
    module = ast.parse(text)
    if text and not ast.get_docstring(module):
        yield f"{path}:1"
    for node in public(module.body):
        if not ast.get_docstring(node):
            yield f"{path}:{node.lineno} {node.name}"


def poor_errors(path: Path, text: str) -> Iterator[str]:
    """Give each making of an error of ours that leaves out or leaves empty what, where or mend."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            said = {keyword.arg: keyword.value for keyword in node.keywords}
            parts = [node.args[0] if node.args else None, said.get("where"), said.get("mend")]
            if any(part is None or (isinstance(part, ast.Constant) and not part.value) for part in parts):
                yield f"{path}:{node.lineno} {node.func.id}"


def test_all_that_is_public_has_a_docstring() -> None:
    assert len(MODULES) > 50
    assert [place for path in MODULES for place in without_docstring(path, path.read_text(encoding="utf-8"))] == []


def test_every_error_says_what_where_and_how_to_mend_it() -> None:
    assert len(ERRORS) > 10
    assert [place for path in MODULES for place in poor_errors(path, path.read_text(encoding="utf-8"))] == []


def test_errors_are_made_in_many_places() -> None:
    made = sum(path.read_text(encoding="utf-8").count("raise ") for path in MODULES)
    assert made > 50


@pytest.mark.parametrize(
    "call",
    [
        "DataError('odd', where='here')",
        "DataError('odd', where='', mend='so')",
        "DataError('odd', where='here', mend='')",
        "DataError('', where='here', mend='so')",
        "DataError(where='here', mend='so')",
    ],
)
def test_a_poor_error_is_seen(call: str) -> None:
    assert list(poor_errors(Path("poor.py"), f"raise {call}")) == ["poor.py:1 DataError"]
    assert list(poor_errors(Path("good.py"), "raise DataError('odd', where=here, mend=f'{so}')")) == []


def test_a_missing_docstring_is_seen() -> None:
    text = (
        '"""Module."""\nclass Shown:\n    """Shown."""\n    def said(self):\n        pass\ndef _private():\n    pass\n'
    )
    assert list(without_docstring(Path("poor.py"), text)) == ["poor.py:4 said"]
