"""The files from outside: found, hashed, and opened as text of the right encoding."""

import codecs
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

from luthier.errors import DataError
from luthier.event import Chose, Tell

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order mark -> encoding."""


@dataclass(frozen=True)
class Source:
    """A file of rows; `label` is what errors and examples call it."""

    path: Path
    label: str

    @property
    def suffix(self) -> str:
        """What tells its format: the last suffix that is not .gz."""
        name = self.label.lower().removesuffix(".gz")
        return Path(name).suffix


def find_sources(paths: Sequence[str]) -> list[Source]:
    """Give the files named by a spec. Raises DataError for one that is missing, a folder, or of no known format."""
    return [_find(Path(path), path) for path in paths]


def _find(path: Path, label: str) -> Source:
    source = Source(path, label)
    if not path.exists():
        beside = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        mend = f"did you mean {path.parent / near[0]}?" if near else "give the path of a file, seen from this folder"
        raise DataError(f"there is no file {label!r}", where=str(path.absolute()), mend=mend)
    if path.is_dir():
        raise DataError(f"{label!r} is a folder", where=str(path.absolute()), mend="name the files in it")
    if source.suffix not in SUFFIXES:
        raise DataError(
            f"the format of {path.name!r} cannot be told from its name",
            where=str(path.absolute()),
            mend=f"give a file that ends in {', '.join(SUFFIXES)} (each may be followed by .gz)",
        )
    return source


@contextmanager
def opened(source: Source, encoding: str, tell: Tell) -> Iterator[TextIO]:
    """Open a file as text, its line ends untouched.

    Raises DataError if it is empty, is no whole gzip, or holds a byte that its encoding does not know.
    """
    try:
        with _bytes(source) as raw:
            head = cast(io.BufferedReader, raw).peek(4)
            if not head:
                raise DataError(
                    "the file is empty", where=source.label, mend="put rows into it, or leave it out of source"
                )
            chosen = _encoding(head, encoding, source, tell)
            with io.TextIOWrapper(raw, encoding=chosen, newline="") as text:
                yield text
    except UnicodeError as error:
        raise _bad_byte(source, chosen, error) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"the gzip file cannot be read: {error}", where=source.label, mend="copy or download it again"
        ) from None


def _bytes(source: Source) -> IO[bytes]:
    if source.label.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(source.path, "rb"))
    return source.path.open("rb")


def _encoding(head: bytes, encoding: str, source: Source, tell: Tell) -> str:
    if encoding != "auto" and codecs.lookup(encoding).name != "utf-8":
        return encoding
    for mark, name in MARKS.items():
        if head.startswith(mark) and (encoding == "auto" or mark == codecs.BOM_UTF8):
            tell(Chose("encoding", name, why=f"{source.label} begins with its byte order mark"))
            return name
    return "utf-8"


def _bad_byte(source: Source, encoding: str, error: UnicodeError) -> DataError:
    """Find the first wrong byte anew: a stream's error counts from its own buffer, not from the file's beginning."""
    with _bytes(source) as raw:
        data = raw.read()
    try:
        # The mark itself is valid UTF-8; decoding with it keeps the offset true.
        data.decode("utf-8" if encoding == "utf-8-sig" else encoding)
        offset = len(data)
    except UnicodeDecodeError as found:
        offset = found.start
    line = data[:offset].decode(encoding, errors="ignore").count("\n") + 1
    value = f"{data[offset]:#04x}" if offset < len(data) else f"missing ({error})"
    is_tried = encoding == "gb18030"
    other = "encoding to what it was saved in" if is_tried else "encoding=gb18030 if its text is Chinese"
    return DataError(
        f"byte {offset} is {value}, which is not {encoding.removesuffix('-sig')}",
        where=f"{source.label}:{line}",
        mend=f"set {other}, or save the file as UTF-8",
    )
