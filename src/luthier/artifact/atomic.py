"""Files that are whole or absent: temporary name, fsync, rename."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luthier.errors import RoomError


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is whole or absent, and on disk when this returns."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that the file is whole or absent, and on disk when this returns."""
    write_with(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its name. A full disk raises RoomError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with no_room(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line, on disk when this returns."""
    with no_room(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Force a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def no_room(path: Path) -> Iterator[None]:
    """Turn 'no space left' and 'quota exceeded' into a RoomError that names the place."""
    try:
        yield
    except Exception as error:  # libraries in Rust raise kinds of their own: SafetensorError, plain Exception
        number = _error_number(error)
        if number not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RoomError(
            f"the disk is full: {os.strerror(number)}",
            where=str(path),
            mend="free some room (luthier list shows what can go, luthier remove ID), then run the same command again",
        ) from error


def _error_number(error: Exception) -> int | None:
    """Give the system's number of an error; safetensors and tokenizers write it into its text: `... (os error 28)`."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None
