"""Listing documented objects: under their public names, without the modules' side effects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.fetch.docstring_scan import scan

MODULE = '''
"""A package that misbehaves while it is imported."""
import socket
from json import dumps
print("hello from an import")
try:
    socket.create_connection(("127.0.0.1", 9))
except RuntimeError as error:
    refused = str(error)

__all__ = ["Violin", "dumps", "refusal", "tune", "_hidden", "alias"]

def refusal():
    "Say what was refused."

refusal.__doc__ = refused

def tune(violin: "Violin", pitch=440.0, /, *, strings=("g", "d"), how=print, last=None, **more) -> None:
    """Tune it."""

alias = tune

def _hidden():
    """Nobody sees this."""

class Violin:
    """An instrument."""

    def play(self, tune, *, loud=False):
        """Play a tune."""

    @staticmethod
    def parts(count=4):
        """Name the parts."""

    @classmethod
    def of(cls, wood):
        """Build one."""

    def _carve(self):
        """Nobody sees this."""
'''


@pytest.fixture
def found(tmp_path: Path) -> dict[str, dict[str, str]]:
    """What a child process finds in the package, by name."""
    package = tmp_path / "violin_docs"
    package.mkdir()
    (package / "__init__.py").write_text(MODULE)
    (package / "broken.py").write_text("raise SystemExit(3)")
    (package / "inner.py").write_text('def bow():\n    """Bow."""\n')
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from luthier.fetch.docstring_scan import main\nmain('violin_docs')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"].removeprefix("violin_docs."): row for row in rows}


def test_public_objects_are_listed_and_nothing_else(found: dict[str, dict[str, str]]) -> None:
    assert sorted(found) == ["Violin", "Violin.of", "Violin.parts", "Violin.play", "inner.bow", "refusal", "tune"]
    assert found["Violin"]["kind"] == "class"
    assert found["Violin.play"]["kind"] == "method"
    assert found["tune"] == {"name": "violin_docs.tune", "kind": "function"} | {
        "signature": "(violin, pitch=440.0, *, strings=..., how=..., last=None, ...)",
        "doc": "Tune it.",
    }


def test_a_method_is_shown_as_it_is_called(found: dict[str, dict[str, str]]) -> None:
    signatures = [found[f"Violin.{name}"]["signature"] for name in ("play", "parts", "of")]
    assert signatures == ["(tune, *, loud=False)", "(count=4)", "(wood)"]


def test_the_network_is_closed_while_modules_are_imported(found: dict[str, dict[str, str]]) -> None:
    assert found["refusal"]["doc"].endswith("while a module is imported")


def test_the_standard_library_stands_under_its_public_names() -> None:
    names = [row["name"] for row in scan("stdlib")]
    assert len(names) == len(set(names)) > 4000
    expected = {"len", "str.split", "math.sqrt", "os.getcwd", "os.path.join", "textwrap.dedent", "asyncio.run"}
    expected |= {"collections.Counter.most_common", "pathlib.Path.read_text", "itertools.chain", "datetime.date.today"}
    assert expected <= set(names)
    assert not [name for name in names if name.split(".")[0] in {"this", "antigravity", "test", "idlelib", "posix"}]
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]
