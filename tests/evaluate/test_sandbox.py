"""Hostile answers, run for real: none passes, and none changes anything outside."""

import os
import shutil
import socket
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.errors import ToolError
from luthier.evaluate import sandbox
from luthier.evaluate.prove import prove
from luthier.evaluate.question import Proof
from luthier.evaluate.sandbox import Caps, check_sandbox

TEST = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(41) == 42\n"
PROOF = Proof("def f(x):\n", TEST, "f")
CAPS = Caps(seconds=0.5, memory_mb=256, processes=8)


@pytest.fixture(params=sandbox.WALLS)
def walled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let one kind of walls stand, where this machine has it."""
    tool = str(request.param)
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    monkeypatch.setattr(sandbox, "WALLS", {tool: sandbox.WALLS[tool]})
    return tool


def test_this_machine_can_shut_code_in(walled: str) -> None:
    assert check_sandbox() == walled


@pytest.mark.usefixtures("walled")
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("    return x + 1\n", ""),
        ("    return x\n", "AssertionError"),
        ("    return x +\n", "cannot be run: SyntaxError"),
        ("    raise KeyError(x)\n", "KeyError"),
        ("    return (y for y in [x + 1])\n", "AssertionError"),
    ],
)
def test_an_answer_passes_its_tests_or_says_why_not(answer: str, problem: str) -> None:
    said = prove(answer, PROOF, CAPS)
    assert problem in said
    assert (said == "") == (problem == "")


ATTACKS: dict[str, str] = tomllib.loads((Path(__file__).parent / "attacks.toml").read_text(encoding="utf-8"))


def test_there_are_attacks() -> None:
    assert len(ATTACKS) > 15


@pytest.mark.usefixtures("walled")
@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_answer_does_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.evaluate.prove.SLACK_SECONDS", 2.0)
    begun = time.monotonic()
    assert prove(ATTACKS[name], PROOF, CAPS)
    assert time.monotonic() - begun < 60


@pytest.mark.usefixtures("walled")
def test_nothing_outside_is_touched(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("dear", encoding="utf-8")
    tmp_path.chmod(0o777)
    kept.chmod(0o666)
    answer = f"    import os\n    os.remove({str(kept)!r})\n    return x + 1\n"
    assert "FileNotFoundError" in prove(answer, PROOF, CAPS)
    assert kept.read_text(encoding="utf-8") == "dear"


@pytest.mark.usefixtures("walled")
def test_no_word_reaches_the_network() -> None:
    heard: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)

        def listen() -> None:
            while not heard:
                try:
                    heard.append(server.accept())
                except TimeoutError:
                    if done.is_set():
                        return

        done = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        port = server.getsockname()[1]
        answer = f"    import socket\n    socket.create_connection(('127.0.0.1', {port}))\n    return x + 1\n"
        assert "Error" in prove(answer, PROOF, CAPS)
        done.set()
        thread.join()
    assert heard == []


@pytest.mark.usefixtures("walled")
def test_no_secret_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    answer = "    import os\n    return x + 1 if 'HF_TOKEN' not in os.environ else 0\n"
    assert prove(answer, PROOF, CAPS) == ""


@pytest.mark.usefixtures("walled")
def test_after_all_attacks_nothing_is_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.evaluate.prove.SLACK_SECONDS", 2.0)
    assert prove(ATTACKS["forks"], PROOF, CAPS)
    time.sleep(0.5)
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"pytest" in line for line in lines)
    assert not [line for line in lines if b"/run/sandboxed.py" in line or b"walls.py" in line]


def test_where_the_kernel_refuses_code_is_refused_with_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WALLS", {"no-such-program": sandbox.WALLS["bwrap"]})
    with pytest.raises(ToolError) as caught:
        check_sandbox()
    assert caught.value.what == "code cannot be shut in here: no-such-program: it is not installed"
    assert caught.value.where == "the sandbox of code tasks"
    assert "apt install bubblewrap" in caught.value.mend
    assert "unsafe=true" in caught.value.mend


def test_walls_that_do_not_stand_say_why_and_the_next_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "leaning").write_text("#!/bin/sh\necho 'no namespaces for you' >&2\nexit 1\n", encoding="utf-8")
    (tmp_path / "leaning").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    leaning: dict[str, Callable[[Path, bool], list[str]]] = {"leaning": lambda program, is_root: ["leaning"]}
    monkeypatch.setattr(sandbox, "WALLS", leaning)
    with pytest.raises(ToolError, match="leaning: no namespaces for you"):
        check_sandbox()
    monkeypatch.setattr(sandbox, "WALLS", leaning | {"sh": lambda program, is_root: ["sh", "-c", "echo walled"]})
    assert check_sandbox() == "sh"


def test_unsafe_runs_it_bare_and_by_the_same_tests() -> None:
    assert prove("    return x + 1\n", PROOF, CAPS, unsafe=True) == ""
    assert "AssertionError" in prove("    return x\n", PROOF, CAPS, unsafe=True)
