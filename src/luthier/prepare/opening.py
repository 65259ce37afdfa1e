"""A file from outside as bytes or as text: unpacked, of the right encoding, and whole."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from luthier.errors import DataError, ToolError
from luthier.event import Chose, Tell
from luthier.prepare.source import Source

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order mark -> encoding."""
CHUNK = 1 << 18
"""Bytes read at a time."""
HEAD = 4096
"""Bytes at the beginning that are looked at for a byte 0; one alone may stand in a text."""
MANY = 0.1
"""Share of bytes 0 from which on a file is no text in UTF-8: in UTF-16 half of the bytes of English are."""
SIGNATURES = (
    *(b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF-", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"7z\xbc\xaf"),
    *(b"PAR1", b"ARROW1", b"SQLite format 3", b"\x93NUMPY", b"GGUF", b"\x89PNG"),
)
"""What files begin with that people take for rows: archives and office files, PDF, tables, data bases, weights."""


@contextmanager
def opened_bytes(source: Source) -> Iterator[io.BufferedReader]:
    """Open a file as bytes, unpacked. Raises DataError if it is empty, or no whole gzip or Zstandard file."""
    try:
        with _bytes(source) as raw:
            if not raw.peek(1):
                raise DataError(
                    "the file is empty", where=source.label, mend="put rows into it, or leave it out of source"
                )
            yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"the {PACKINGS[source.packing]} file cannot be read: {error}",
            where=source.label,
            mend="copy or download it again",
        ) from None


@contextmanager
def opened(source: Source, encoding: str, tell: Tell) -> Iterator[io.TextIOWrapper]:
    """Open a file as text, its line ends untouched.

    Raises DataError if it is empty, is not whole, or holds a byte that its encoding does not know.
    """
    with opened_bytes(source) as raw:
        chosen = encoding_of(raw.peek(4), encoding, source, tell)
        try:
            with io.TextIOWrapper(raw, encoding=chosen, newline="") as text:
                yield text
        except UnicodeError as error:
            raise _first_wrong_byte(source, chosen, error) from None


def encoding_of(head: bytes, encoding: str, source: Source, tell: Tell) -> str:
    """Give the encoding: the one named, or the one that the first bytes show, which is told.

    Raises DataError where they show that it is no text.
    """
    if encoding != "auto" and codecs.lookup(encoding).name != "utf-8":
        return encoding
    for mark, name in MARKS.items():
        if head.startswith(mark) and (encoding == "auto" or mark == codecs.BOM_UTF8):
            tell(Chose("encoding", name, why=f"{source.label} begins with its byte order mark"))
            return name
    begin = head[:HEAD]
    zeros = begin.count(0)
    if encoding == "auto" and zeros and (begin.startswith(SIGNATURES) or zeros >= MANY * len(begin)):
        raise DataError(
            f"byte {head.index(0)} is 0x00: this is no text",
            where=source.label,
            mend="give a file of rows (a table saved as CSV, an archive unpacked), or set encoding (utf-16-le; utf-8)",
        )
    return "utf-8"


def wrong_byte(label: str, encoding: str, offset: int, line: int, value: str) -> DataError:
    """Give the error for a byte that the encoding does not know. `offset` counts from 0, `line` from 1."""
    other = "encoding to what it was saved in" if encoding == "gb18030" else "encoding=gb18030 if its text is Chinese"
    return DataError(
        f"byte {offset} is {value}, which is not {encoding.removesuffix('-sig')}",
        where=f"{label}:{line}",
        mend=f"set {other}, or save the file as UTF-8",
    )


def _first_wrong_byte(source: Source, encoding: str, error: UnicodeError) -> DataError:
    """Find the wrong byte anew: a stream's error counts from its own buffer, not from the file's beginning."""
    # The mark itself is valid UTF-8; decoding with it keeps the offset true.
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    decoder = codecs.getincrementaldecoder(name)()
    begin, line, last = 0, 1, False
    with _bytes(source) as raw:
        while not last:
            chunk = raw.read(CHUNK)
            last = not chunk
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(chunk, final=last).count("\n")
            except UnicodeDecodeError as found:
                line += found.object[: found.start].decode(name, errors="ignore").count("\n")
                value = f"{found.object[found.start]:#04x}"
                return wrong_byte(source.label, encoding, begin - pending + found.start, line, value)
            except UnicodeError:
                break
            begin += len(chunk)
    return wrong_byte(source.label, encoding, begin, line, f"missing ({error})")


def _bytes(source: Source) -> io.BufferedReader:
    if source.packing == ".gz":
        return io.BufferedReader(cast(io.RawIOBase, gzip.open(source.path, "rb")), CHUNK)
    if source.packing == ".zst":
        return io.BufferedReader(_Zstandard(source.path), CHUNK)
    return io.BufferedReader(io.FileIO(source.path), CHUNK)


PACKINGS = {".gz": "gzip", ".zst": "Zstandard", "": ""}
"""Last suffix -> the name of how the file is packed."""


class _Zstandard(io.RawIOBase):  # a parent from outside: BufferedReader takes nothing else
    """Unpacks a Zstandard file of one or more frames; the library's own reader takes a cut file for a whole one."""

    def __init__(self, path: Path) -> None:
        self._library = _zstandard()
        self._frame = self._new_frame()
        self._ready = memoryview(b"")
        self._begun = False
        self._file = path.open("rb")

    def _new_frame(self) -> Any:
        return self._library.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._file.read(CHUNK)
            if not packed:
                if self._begun and not self._frame.eof:
                    raise EOFError("it ends before its end marker")
                return 0
            if self._frame.eof:
                self._frame = self._new_frame()
            self._begun = True
            try:
                self._ready = memoryview(self._frame.decompress(packed))
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise ToolError(
            "zstandard is not installed, it reads .zst files", where="extra data", mend="pip install 'luthier[data]'"
        ) from None
    return zstandard
