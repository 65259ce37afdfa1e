"""Files in which a line is a row: JSON lines, plain text, text beside a file of its classes."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.errors import DataError
from luthier.event import Chose, Tell, hush
from luthier.prepare.batch import MOST_CHARACTERS, Batch, Row, rows_of
from luthier.prepare.fault import Fault
from luthier.prepare.opening import encoding_of, opened, opened_bytes, wrong_byte
from luthier.prepare.source import Source

DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # NaN is how pandas writes a missing value


def json_line_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Cut JSON lines into batches of bytes, unparsed."""
    return _batches(source, "json lines", encoding, size, tell)


def text_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Cut plain text into batches of lines; with `source.classes` each line has its class.

    Raises DataError if the two files have not the same number of lines.
    """
    if source.classes is not None:
        yield from _classed(source, source.classes, encoding, size, tell)
        return
    tell(Chose("rows", "lines", why=f"{source.label} is plain text: each line that is not blank is a row"))
    yield from _batches(source, "text lines", encoding, size, tell)


def parse_json_lines(batch: Batch) -> Iterator[Row | Fault]:
    """Parse each line that is not blank; a bad one is a Fault."""
    for number, line in _lines(batch):
        if not line or line.isspace():
            continue
        place = f"{batch.label}:{number}"
        try:
            value = DECODER.decode(line)
            if type(value) is dict:
                yield Row(place, value)
            else:
                yield from rows_of(value, place)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data" and (objects := _objects(line)):
                yield from (Row(place, one) for one in objects)
                continue
            where = f"{place}, column {error.colno}"
            yield Fault("not JSON", f"not JSON: {error.msg}", where, "write one whole JSON object on each line")
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
            yield Fault("not JSON", f"not JSON: {error}", place, "write one whole JSON object on each line")


def _objects(line: str) -> list[dict[str, Any]]:
    """Give the objects of a line that holds several, one after the other; nothing where it is not that."""
    found, place = [], 0
    try:
        while place < len(line):
            value, place = DECODER.raw_decode(line, place)
            found.append(value)
            place += len(line[place:]) - len(line[place:].lstrip(" \t\r,"))
    except ValueError:
        return []
    return found if all(isinstance(one, dict) for one in found) else []


def parse_text_lines(batch: Batch) -> Iterator[Row | Fault]:
    """Give each line as a row with `text`; with classes blank ones too, for each has its class."""
    for number, line in _lines(batch):
        place, text = f"{batch.label}:{number}", line.removesuffix("\r")
        if batch.classes is None:
            if text and not text.isspace():
                yield Row(place, {"text": text}, closed=True)
        elif number - batch.first_line < len(batch.classes):
            yield Row(place, {"text": text, "label": batch.classes[number - batch.first_line]}, closed=True)


def _batches(source: Source, kind: str, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    line = 1
    offset = 0
    with ExitStack() as files:
        for lines in _line_groups(files, source, encoding, size, tell):
            payload = b"".join(lines)
            yield Batch(source.label, kind, payload, line, offset)
            line, offset = line + len(lines), offset + len(payload)


def _line_groups(files: ExitStack, source: Source, encoding: str, size: int, tell: Tell) -> Iterator[list[bytes]]:
    """Give groups of lines as bytes in UTF-8, `size` lines or less.

    UTF-8 is not decoded here: that is left to those who parse. A mark at the beginning stays, to keep offsets true.
    """
    raw = files.enter_context(opened_bytes(source))
    chosen = encoding_of(raw.peek(4), encoding, source, tell)
    lines: Iterator[bytes] = iter(raw)
    if chosen not in ("utf-8", "utf-8-sig"):
        text = files.enter_context(opened(source, chosen, hush))
        lines = (line.encode("utf-8", "surrogatepass") for line in text)
    while group := _until_full(islice(lines, size)):
        yield group


def _until_full(lines: Iterable[bytes]) -> list[bytes]:
    group: list[bytes] = []
    room = MOST_CHARACTERS
    for line in lines:
        group.append(line)
        room -= len(line)
        if room < 0:
            break
    return group


def _lines(batch: Batch) -> Iterator[tuple[int, str]]:
    """Decode, and number the lines; a wrong byte raises DataError after the lines before it."""
    payload: bytes = batch.payload
    wrong: UnicodeDecodeError | None = None
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = error
        text = payload[: payload.rfind(b"\n", 0, error.start) + 1].decode("utf-8")
    if batch.offset == 0:
        text = text.removeprefix("\ufeff")
    lines = text.split("\n")  # not splitlines: a row may hold U+2028
    if lines[-1] == "":
        lines.pop()
    yield from enumerate(lines, batch.first_line)
    if wrong is not None:
        offset, line = batch.offset + wrong.start, batch.first_line + payload.count(b"\n", 0, wrong.start)
        raise wrong_byte(batch.label, "utf-8", offset, line, f"{payload[wrong.start]:#04x}")


def _classed(source: Source, classes: Path, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    beside = Source(classes, str(Path(source.label).with_name(classes.name)))
    names = _names(source.names)
    named = f", named by {source.names.name}" if source.names else ""
    tell(Chose("classes", classes.name, why=f"it stands beside {source.label}, a class for each line{named}"))
    with ExitStack() as files:
        numbers = (line.strip() for line in files.enter_context(opened(beside, encoding, tell)))
        for batch in _batches(source, "text lines", encoding, size, tell):
            count = batch.payload.count(b"\n") + (not batch.payload.endswith(b"\n"))
            here = tuple(names.get(number, number) for number in islice(numbers, count))
            if len(here) < count:
                raise _uneven(beside.label, batch.first_line + len(here), "ends before", source.label)
            yield Batch(source.label, batch.kind, batch.payload, batch.first_line, batch.offset, classes=here)
            last = batch.first_line + count
        if any(numbers):
            raise _uneven(beside.label, last, "goes on after", source.label)


def _uneven(label: str, line: int, how: str, other: str) -> DataError:
    return DataError(
        f"the file of classes {how} {other}", where=f"{label}:{line}", mend="give each line of text one line of class"
    )


def _names(path: Path | None) -> dict[str, str]:
    """Read lines of a number, a tab, a name."""
    if path is None:
        return {}
    names = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        key, tab, name = line.partition("\t")
        if not tab and line.strip():
            raise DataError(
                f"{line!r:.60} has no tab", where=f"{path}:{number}", mend="write a number, a tab and a name on it"
            )
        names[key.strip()] = name.strip()
    return names
