"""Python functions become tools by their types."""

import time
from pathlib import Path

import pytest

from luthier.act.python_functions import python_tools
from luthier.act.schema import check_arguments
from luthier.act.spec import PythonSpec
from luthier.act.tool import CallError, Tool
from luthier.errors import SpecError

SOURCE = '''
import asyncio
import datetime
import time
from dataclasses import dataclass
from typing import Literal, Optional

@dataclass
class Place:
    city: str
    storeys: int = 1

def add(a: int, b: int = 2) -> int:
    """Adds two numbers."""
    return a + b

def travel(to: Place, by: Literal["train", "boat"], on: Optional[datetime.date] = None) -> dict:
    return {"city": to.city, "storeys": to.storeys, "by": by, "on": on}

async def wait(seconds: float) -> str:
    await asyncio.sleep(0)
    return "waited"

def sleep(seconds: float) -> None:
    time.sleep(seconds)

def fail() -> None:
    raise KeyError("nothing there")

def _hidden() -> None: ...
'''


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, Tool]:
    path = tmp_path / "own.py"
    path.write_text(SOURCE, encoding="utf-8")
    return {tool.name: tool for tool in python_tools(PythonSpec(file=str(path), ask=("fail",), timeout_seconds=0.5))}


def test_the_public_functions_of_a_file_are_tools(tools: dict[str, Tool]) -> None:
    assert list(tools) == ["add", "travel", "wait", "sleep", "fail"]
    assert [name for name, tool in tools.items() if tool.is_dangerous] == ["fail"]
    add = tools["add"]
    assert add.about == "Adds two numbers."
    assert add.parameters["properties"]["a"] == {"type": "integer"}
    assert add.parameters["required"] == ["a"]
    assert add.parameters["additionalProperties"] is False


def test_arguments_become_the_types_of_the_signature(tools: dict[str, Tool]) -> None:
    assert tools["add"].call({"a": 40}, 5.0).text == "42"
    given = {"to": {"city": "Paris"}, "by": "boat", "on": "2024-02-29"}
    check_arguments(tools["travel"], given)
    assert tools["travel"].call(given, 5.0).text == '{"city":"Paris","storeys":1,"by":"boat","on":"2024-02-29"}'
    assert tools["wait"].call({"seconds": 0}, 5.0).text == "waited"


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("add", {}, "'a' is a required property"),
        ("add", {"a": "one"}, "'one' is not of type 'integer'"),
        ("add", {"a": 1, "c": 3}, "'c' was unexpected"),
        ("travel", {"to": {"city": "Paris"}, "by": "plane"}, "'plane' is not one of"),
        ("travel", {"to": {}, "by": "boat"}, "'city' is a required property"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    tools: dict[str, Tool], name: str, arguments: dict[str, object], what: str
) -> None:
    with pytest.raises(CallError) as caught:
        check_arguments(tools[name], arguments)
    assert what in caught.value.what
    with pytest.raises(CallError):
        tools[name].call(arguments, 5.0)


def test_what_a_function_raises_and_how_long_it_takes_are_errors_of_the_call(tools: dict[str, Tool]) -> None:
    with pytest.raises(CallError, match="KeyError: 'nothing there'"):
        tools["fail"].call({}, 5.0)
    begun = time.monotonic()
    with pytest.raises(CallError, match="longer than"):
        tools["sleep"].call({"seconds": 2}, 5.0)
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    ("source", "what", "mend"),
    [
        ("def f(a): ...", "the argument 'a' has no type", "write a: str"),
        ("def f(*a: int): ...", "it takes *a", "name every argument"),
        ("class A: ...\ndef f(a: A): ...", "a type has no JSON form", "use str"),
        ("def f(a: 'Nobody'): ...", "its types cannot be read", "import"),
        ("def f(:", "the file cannot be run: SyntaxError", "mend it"),
        ("raise SystemError('no')", "the file cannot be run: SystemError: no", "mend it"),
    ],
)
def test_a_file_that_gives_no_tools_says_why(tmp_path: Path, source: str, what: str, mend: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        python_tools(PythonSpec(file=str(path)))
    assert what in caught.value.what
    assert str(path) in caught.value.where
    assert mend in caught.value.mend


def test_a_function_or_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def here(): ...", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        python_tools(PythonSpec(file=str(path), functions=("there",)))
    assert (caught.value.what, caught.value.mend) == ("there is no function 'there'", "it has: here")
    with pytest.raises(SpecError, match="no Python file"):
        python_tools(PythonSpec(file=str(tmp_path / "none.py")))
