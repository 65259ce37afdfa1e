"""Tools in environments of their own: made once from a real (tiny) wheel, called as a child, told when they fail."""

import zipfile
from pathlib import Path

import pytest

from luthier import sidecar
from luthier.errors import ToolError
from luthier.sidecar import Tool

MODULE = """\
import os, sys
def main():
    if sys.argv[1:] == ["fail"]:
        sys.exit("the saw is blunt")
    print("cut", *sys.argv[1:], sys.prefix, os.environ.get("PYTHONPATH", "-"))
"""


def wheel(folder: Path) -> Path:
    """Write a wheel by hand: a module, a command `saw`, the metadata."""
    path = folder / "luthier_saw-1.0-py3-none-any.whl"
    info = "luthier_saw-1.0.dist-info"
    files = {
        "luthier_saw.py": MODULE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: luthier-saw\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsaw = luthier_saw:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip ask no index: what these tests install lies beside them."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project in which the tool `saw` was set up over an older one."""
    folder = tmp_path_factory.mktemp("shop")
    place = folder / ".luthier" / "tools" / "saw"
    place.mkdir(parents=True)
    (place / "pins.txt").write_text("luthier-saw==0.1", encoding="utf-8")
    (place / "rust").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setitem(sidecar.TOOLS, "saw", saw(folder))
        assert sidecar.setup(folder / ".luthier", "saw") == place
    return folder


def saw(folder: Path, command: str = "saw") -> Tool:
    return Tool((f"luthier-saw @ {wheel(folder).as_uri()}",), command, "cut wood")


@pytest.fixture
def with_saw(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sidecar.TOOLS, "saw", saw(project))
    return project / ".luthier"


def test_a_tool_answers_from_an_environment_of_its_own(with_saw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/of/ours")
    assert sidecar.call(with_saw, "saw", ["a", "plank"]).split() == [
        "cut",
        "a",
        "plank",
        str(with_saw / "tools" / "saw"),
        "-",
    ]


def test_a_tool_of_other_pins_was_made_anew(with_saw: Path) -> None:
    place = with_saw / "tools" / "saw"
    assert not (place / "rust").exists()
    assert (place / "pins.txt").read_text(encoding="utf-8") == saw(with_saw.parent).pins[0]


def test_a_tool_that_is_whole_is_left_as_it_is(with_saw: Path) -> None:
    mark = with_saw / "tools" / "saw" / "pins.txt"
    before = mark.stat().st_mtime_ns
    sidecar.setup(with_saw, "saw")
    assert mark.stat().st_mtime_ns == before


def test_a_tool_that_fails_is_told_with_its_last_words(with_saw: Path) -> None:
    with pytest.raises(ToolError) as caught:
        sidecar.call(with_saw, "saw", ["fail"])
    assert caught.value.what == "saw ended with status 1: the saw is blunt"
    assert caught.value.where == f"{with_saw / 'tools' / 'saw' / 'bin' / 'saw'} fail"
    assert caught.value.mend == "see its message"


def test_a_tool_without_its_program_is_told(with_saw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sidecar.TOOLS, "saw", Tool((), "axe", "cut wood"))
    with pytest.raises(ToolError, match="brought no program 'axe'") as caught:
        sidecar.call(with_saw, "saw", [])
    assert caught.value.where == str(with_saw / "tools" / "saw" / "bin" / "axe")
    assert caught.value.mend == f"remove the folder {with_saw / 'tools' / 'saw'}, then run: luthier setup saw"


def test_a_tool_that_is_not_set_up_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sidecar.TOOLS, "plane", Tool(("plane==1",), "plane", "smooth wood"))
    with pytest.raises(ToolError) as caught:
        sidecar.call(tmp_path, "plane", [])
    assert caught.value.what == "the tool 'plane' (smooth wood) is not installed"
    assert caught.value.where == str(tmp_path / "tools" / "plane")
    assert caught.value.mend == "run: luthier setup plane"


def test_an_unknown_tool_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        sidecar.setup(tmp_path, "hammer")
    assert (caught.value.what, caught.value.where) == ("there is no tool 'hammer'", "luthier setup")
    assert caught.value.mend == f"known tools: {', '.join(sorted(sidecar.tools()))}"


def test_a_failing_pip_leaves_no_whole_tool_and_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sidecar.TOOLS, "plane", Tool(("no-such-plane-of-ours==1",), "plane", "smooth wood"))
    place = tmp_path / "tools" / "plane"
    with pytest.raises(ToolError) as caught:
        sidecar.setup(tmp_path, "plane")
    assert caught.value.what.startswith("pip could not install no-such-plane-of-ours==1: ERROR: ")
    assert "No matching distribution found" in caught.value.what
    assert caught.value.where == str(place)
    assert caught.value.mend == "check the network and the package index, then run the command again"
    with pytest.raises(ToolError, match="is not installed"):
        sidecar.call(tmp_path, "plane", [])


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            "ServerError: no such model (400)\ngoing home\nAsking:   0%|          | 0/12 [00:02<?]\r",
            "ServerError: no such model (400)",
        ),
        ("it is broken\n 50%|#####     | 6/12", "it is broken"),
        (" 50%|#####     | 6/12\r 60%|######    | 7/12", "60%|######    | 7/12"),
        ("", "no message"),
    ],
)
def test_what_a_tool_says_last_is_told_and_not_its_bar(told: str, why: str) -> None:
    assert sidecar._last_words(told) == why
