"""Files are whole or absent; a full disk is told as such, and loses nothing."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from luthier.artifact import atomic
from luthier.errors import RoomError

MEND = "free some room (luthier list shows what can go, luthier remove ID), then run the same command again"


def test_json_is_written_sorted_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "card.json"
    atomic.write_json(path, {"b": "中文", "a": [1, None]})
    assert path.read_text(encoding="utf-8") == '{\n "a": [\n  1,\n  null\n ],\n "b": "中文"\n}\n'
    assert [found.name for found in path.parent.iterdir()] == ["card.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "card.json"
    atomic.write_json(path, {"old": 1})

    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RoomError) as caught:
            atomic.write_json(path, {"new": 2})
    assert caught.value.what == f"the disk is full: {os.strerror(number)}"
    assert (caught.value.where, caught.value.mend) == (str(path), MEND)
    assert json.loads(path.read_text(encoding="utf-8")) == {"old": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["card.json"]


def test_a_write_that_dies_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "text"
    atomic.write_text(path, "old")

    def die(temporary: Path) -> None:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write_with(path, die)
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    "error",  # as safetensors 0.8 and tokenizers 0.23 gave them on a full tmpfs
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_met_in_rust_is_a_full_disk(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(RoomError, match="No space left on device") as caught, atomic.no_room(tmp_path):
        raise error
    assert (caught.value.where, caught.value.mend) == (str(tmp_path), MEND)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError("no number"),
        SafetensorError("Error while serializing: I/O error: Is a directory (os error 21)"),
        SafetensorError("InvalidHeader"),
    ],
)
def test_another_error_is_not_taken_for_a_full_disk(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, atomic.no_room(tmp_path):
        raise error
    assert caught.value is error


def test_lines_are_added_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    for line in ("one", "二"):
        atomic.append_line(path, line)
    assert path.read_bytes() == "one\n二\n".encode()


def test_a_line_for_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    atomic.append_line(path, "one")

    def full(self: Path, mode: str, **more: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(RoomError) as caught:
            atomic.append_line(path, "two")
    assert caught.value.where == str(path)
    assert path.read_text(encoding="utf-8") == "one\n"


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data"
    data = bytes(range(256)) * 5000
    path.write_bytes(data)
    assert atomic.sha256(path) == hashlib.sha256(data).hexdigest()
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert atomic.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
