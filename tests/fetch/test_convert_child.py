"""What a hostile pickle may do in the process that reads it: nothing, and its user learns why."""

import builtins
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luthier.errors import ModelError
from luthier.event import Chose, Event, hush
from luthier.fetch import convert as converting
from luthier.fetch.convert import CHILD, convert
from luthier.fetch.convert_child import Refusal, _load, _without_copies
from luthier.fetch.model_files import PICKLED

CANARY = "canary"


class Asks:
    """When unpickled by plain pickle, calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    return folder


def refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        convert(folder, hush)
    assert caught.value.where == str(folder / PICKLED)
    assert not list(folder.glob("*.safetensors"))
    return caught.value


def with_numpy(place: Path) -> Any:
    return {"a": np.zeros(3)}


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a command": (lambda canary: {"a": Asks(os.system, f"touch {canary}")}, "posix.system"),
    "code": (lambda canary: Asks(builtins.exec, f"open({str(canary)!r}, 'w')"), "exec"),
    "a file": (lambda canary: {"a": Asks(builtins.open, str(canary), "w")}, "open"),
    "numpy": (with_numpy, "numpy"),
    "a whole model": (lambda canary: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_the_reader_refuses_whatever_asks_for_more_than_tensors(name: str, is_zip: bool, tmp_path: Path) -> None:
    make, asked = HOSTILE[name]
    torch.save(make(tmp_path / CANARY), tmp_path / PICKLED, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(Refusal) as caught:
        _load(torch, tmp_path / PICKLED)
    assert caught.value.kind == "code"
    assert asked in caught.value.detail
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize(("name", "is_zip"), [("a command", True), ("a command", False), ("code", True)])
def test_a_pickle_that_asks_for_more_than_tensors_runs_nothing(name: str, is_zip: bool, tmp_path: Path) -> None:
    make, asked = HOSTILE[name]
    folder, canary = model_folder(tmp_path), tmp_path / CANARY
    torch.save(make(canary), folder / PICKLED, _use_new_zipfile_serialization=is_zip)
    error = refusal(folder)
    assert asked in error.what
    assert "nothing of it was run" in error.what
    assert "weights_only" not in error.what  # torch's own advice is to open it all the same
    assert "safetensors" in error.mend
    assert not canary.exists()


def test_the_canary_sings_where_pickles_are_opened_plainly(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    pickle.loads(pickle.dumps(HOSTILE["a command"][0](tmp_path / CANARY)))
    assert (tmp_path / CANARY).exists()


def truncated(path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-700])


def compressed(path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, path)
    whole = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as again:
        for entry in whole.namelist():
            again.writestr(entry, whole.read(entry))


def swollen(path: Path) -> None:
    """An old file whose storage is said to have 2**31 - 1 numbers."""
    torch.save({"a": torch.zeros(123_457)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    said, larger = b"J" + struct.pack("<i", 123_457), b"J" + struct.pack("<i", 2**31 - 1)  # pickle's BININT
    assert said in content
    path.write_bytes(content.replace(said, larger))


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut short": (truncated, "cannot be read", "download it again"),
    "too large inside": (swollen, "takes more memory than its size", "close other programs"),
    "a counter": (lambda path: torch.save({"a": torch.zeros(1), "epoch": 3}, path), "'epoch' is int", "state_dict"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_plain_list_of_weights_is_explained(name: str, tmp_path: Path) -> None:
    make, what, mend = BROKEN[name]
    folder = model_folder(tmp_path)
    make(folder / PICKLED)
    error = refusal(folder)
    assert what in error.what
    assert mend in error.mend


ODD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "compressed": (compressed, "damaged", "is compressed"),
    "no pickle": (lambda path: path.write_bytes(b"<html>"), "damaged", "operand"),
    "empty": (lambda path: path.write_bytes(b""), "damaged", "ends too early"),
    "a list": (lambda path: torch.save([torch.zeros(1)], path), "content", "it holds list"),
    "a number for a name": (lambda path: torch.save({1: torch.zeros(1)}, path), "content", "1 is Tensor"),
    "sparse": (lambda path: torch.save({"a": torch.eye(3).to_sparse()}, path), "content", "sparse_coo"),
}


@pytest.mark.parametrize("name", ODD)
def test_the_reader_says_what_is_odd(name: str, tmp_path: Path) -> None:
    make, kind, detail = ODD[name]
    make(tmp_path / PICKLED)
    with pytest.raises(Refusal) as caught:
        _load(torch, tmp_path / PICKLED)
    assert (caught.value.kind, detail in caught.value.detail) == (kind, True), caught.value.detail


def test_a_tensor_larger_than_its_file_is_refused_before_it_is_written_out() -> None:
    with pytest.raises(Refusal, match="twice as large") as caught:
        _without_copies({"a": torch.zeros(1).expand(9**9, 9)}, [], source_bytes=1000)
    assert caught.value.kind == "damaged"


def run_guarded(code: str, out: Path) -> str:
    """Run a line in a process guarded as the child is, after its guards are up. Gives what it printed."""
    guards = "child._cut_off_network(); child._limit(1000, 1000); child._forbid(pathlib.Path(sys.argv[1]))"
    imports = "import os, pathlib, socket, sys\n"
    imports += f"sys.path.insert(0, {str(CHILD.parent)!r}); import convert_child as child"
    done = subprocess.run(
        [sys.executable, "-IB", "-c", f"{imports}\n{guards}\n{code}", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_guards_forbid_sockets_programs_and_files_elsewhere(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    canary = tmp_path / CANARY
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for code in (
            f"socket.create_connection(('127.0.0.1', {port}))",
            f"os.system('touch {canary}')",
            f"open({str(canary)!r}, 'w')",
            f"os.open({str(canary)!r}, os.O_CREAT | os.O_WRONLY)",
            "os.fork()",
            f"os.remove({str(out)!r})",
        ):
            assert "is forbidden here" in run_guarded(code, out), code
    assert not canary.exists()
    assert out.exists()
    assert run_guarded("open(sys.argv[1] + '/inside', 'w').write('x'); print('written')", out) == "written\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
def test_the_guards_bound_memory(tmp_path: Path) -> None:
    assert "MemoryError" in run_guarded("bytearray(2**32)", tmp_path)


def test_the_network_is_cut_off_below_python_or_told_not_to_be(tmp_path: Path) -> None:
    """A namespace of its own has no device but a loopback, as the kernel lists them."""
    folder, events = model_folder(tmp_path), list[Event]()
    torch.save({"a": torch.zeros(2)}, folder / PICKLED)
    convert(folder, events.append)
    said = next(event for event in events if isinstance(event, Chose) and event.what.startswith("network"))
    lines = run_guarded("print(pathlib.Path('/proc/self/net/dev').read_text())", tmp_path).splitlines()
    if said.value == "cut off":
        assert [line.split(":")[0].strip() for line in lines if ":" in line] == ["lo"]
    else:
        assert "allows no network namespace" in said.why


def fake_child(tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = model_folder(tmp_path)
    (folder / PICKLED).write_bytes(b"x")
    script = tmp_path / "child.py"
    script.write_text(f"import json, os, time\n{code}\n")
    monkeypatch.setattr(converting, "CHILD", script)
    return folder


def test_a_child_that_dies_is_told_with_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal(fake_child(tmp_path, "os.kill(os.getpid(), 11)", monkeypatch))
    assert "ended with signal 11" in error.what
    assert "safetensors" in error.mend


def test_a_child_that_says_nothing_sensible_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ended with status 0" in refusal(fake_child(tmp_path, "print('hello')", monkeypatch)).what


def test_a_child_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "START_SECONDS", 0.5)
    error = refusal(fake_child(tmp_path, "time.sleep(60)", monkeypatch))
    assert "longer than 0 s" in error.what or "longer than 1 s" in error.what
    assert "safetensors" in error.mend


def test_the_child_knows_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy")
    code = "print(json.dumps({'refused': 'damaged', 'detail': ' '.join(sorted(os.environ))}))"
    said = refusal(fake_child(tmp_path, code, monkeypatch)).what
    assert "PATH" in said
    assert "HF_TOKEN" not in said
    assert "PROXY" not in said


def test_a_written_file_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "print(json.dumps({'refused': 'differs', 'detail': 'lm_head'}))"
    error = refusal(fake_child(tmp_path, code, monkeypatch))
    assert "not what was read: lm_head" in error.what
    assert "check the disk" in error.mend
