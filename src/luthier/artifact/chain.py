"""A log that is only added to, and that shows when it was altered: JSON lines, each with the hash of the one before.

Beside the log lies the hash of its last line, so that lines cut off at the end are missed too. Who can write both
files can forge both: note the hash somewhere else (`luthier release --verify` prints it), and ask for it later.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.errors import StoreError
from luthier.event import Tell, Warned, hush

MEND = "put the file back as it was; or move it and its .head away, and promote anew what is to be in service"


def read_chain(path: Path, tell: Tell = hush) -> list[dict[str, Any]]:
    """Give every line's fields, oldest first, each with its `previous` and `hash`.

    A last line without its newline was cut off by a kill before it counted: it is left out, and told.
    Raises StoreError for the first line that is not what was written, and for lines that are missing.
    """
    head = _read_head(path)  # before the log: whoever adds a line writes that first
    text = path.read_bytes() if path.exists() else b""
    *lines, torn = text.split(b"\n")
    if torn:
        tell(
            Warned(
                f"the last line of {path} was cut off while it was written; it does not count",
                "see which release is current; if that is not what you meant, promote or roll back again",
            )
        )
    found: list[dict[str, Any]] = []
    previous = ""
    for number, line in enumerate(lines, start=1):
        found.append(_read_line(line, previous, f"{path}:{number}"))
        previous = found[-1]["hash"]
    _check_head(path, head, [fields["hash"] for fields in found])
    return found


def append_chain(path: Path, fields: Mapping[str, Any]) -> str:
    """Add a line, on disk when this returns. Gives its hash. One process at a time may do so (see the log's lock)."""
    found = read_chain(path)
    _drop_torn_tail(path)
    fields = {**fields, "previous": found[-1]["hash"] if found else ""}
    fields["hash"] = _hash(fields)
    atomic.append_line(path, _line(fields))
    atomic.sync(path.parent)
    atomic.write_text(head_path(path), fields["hash"] + "\n")
    return str(fields["hash"])


def head_path(path: Path) -> Path:
    """Give the file that holds the hash of a log's last line."""
    return path.with_name(f"{path.name}.head")


def _read_line(line: bytes, previous: str, where: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(line)
        told, hashed = fields["previous"], fields["hash"]
    except (ValueError, TypeError, KeyError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"a line of the log cannot be read: {problem}", where=where, mend=MEND) from None
    if told != previous:
        raise StoreError(
            "a line before this one was altered, removed or put in: the hash it names is not that of the line above",
            where=where,
            mend=MEND,
        )
    if hashed != _hash({name: value for name, value in fields.items() if name != "hash"}) or line != _text(fields):
        raise StoreError("the line was altered: its hash is not that of what it says", where=where, mend=MEND)
    return fields


def _read_head(path: Path) -> str:
    head = head_path(path)
    return head.read_text(encoding="utf-8").strip() if head.exists() else ""


def _check_head(path: Path, head: str, hashes: list[str]) -> None:
    """A kill between a line and the head leaves the head behind, never ahead."""
    if head in hashes or (not head and len(hashes) < 2):
        return
    raise StoreError(
        "lines at the end of the log are missing: the line that was written last is not in it"
        if head
        else f"{head_path(path).name} is missing, which holds the hash of the last line",
        where=str(path),
        mend=MEND,
    )


def _drop_torn_tail(path: Path) -> None:
    """Cut off what a kill left of a line: it never counted, and the next line must not be glued to it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)
            os.fsync(file.fileno())


def _hash(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(fields)).hexdigest()


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)


def _text(fields: Mapping[str, Any]) -> bytes:
    return _line(fields).encode()
