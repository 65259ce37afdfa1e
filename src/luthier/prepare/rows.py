"""CSV, JSON and JSON lines to raw rows that know their line."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.prepare.fault import Fault
from luthier.prepare.source import Source, opened

LONGEST_FIELD = 1 << 27
"""Characters; Python's own bound of 131,072 is below the length of real documents."""
SPACE = re.compile(r"[ \t\r\n]*")
WORDS = ("true", "false", "null", "NaN", "-Infinity")
"""A JSON text that is cut off inside one of these (or before it) breaks at its beginning."""
DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # NaN is how pandas writes a missing value


@dataclass(frozen=True)
class Row:
    """A raw row. `place` is `file:line`; a `closed` row is of a table: it has every column the file has."""

    place: str
    data: dict[str, Any]
    closed: bool = False


def read_rows(source: Source, encoding: str, tell: Tell) -> Iterator[Row | Fault]:
    """Read a file row by row.

    Raises DataError for what makes the rest of the file doubtful: its encoding, a JSON list that is cut off,
    a quote in a CSV that never closes. A single bad line comes as a Fault.
    """
    with opened(source, encoding, tell) as text:
        yield from READERS[source.suffix](text, source.label, tell)


def _csv(text: TextIO, label: str, tell: Tell) -> Iterator[Row | Fault]:
    csv.field_size_limit(LONGEST_FIELD)
    first = text.readline()
    delimiter = _delimiter(first, label, tell)
    lines = csv.reader(_after(first, text), delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
        _check_header(header, label)
        begin = lines.line_num + 1
        for fields in lines:
            place, begin = f"{label}:{begin}", lines.line_num + 1
            if not fields:
                continue
            if len(fields) != len(header):
                yield Fault(
                    "fields do not fit the header",
                    f"the row has {len(fields)} fields, the header {len(header)}",
                    place,
                    "quote fields that hold the delimiter or a line end",
                )
                continue
            yield Row(place, dict(zip(header, fields, strict=True)), closed=True)
    except csv.Error as error:
        raise DataError(
            f"not CSV: {error}", where=f"{label}:{lines.line_num}", mend='close the quote; write " inside one as ""'
        ) from None


def _after(first: str, rest: TextIO) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str, label: str, tell: Tell) -> str:
    if label.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    if "," in header:
        return ","
    for delimiter, name in (("\t", "tab"), (";", "semicolon")):
        if delimiter in header:
            tell(Chose("delimiter", name, why=f"the header of {label} has it and no comma"))
            return delimiter
    return ","


def _check_header(header: Sequence[str], label: str) -> None:
    if not any(name.strip() for name in header):
        raise DataError("the first line names no columns", where=f"{label}:1", mend="begin the file with a header")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(
            f"the column {twice[0]!r} stands twice in the header", where=f"{label}:1", mend="rename one of them"
        )


def _json(text: TextIO, label: str, tell: Tell) -> Iterator[Row | Fault]:
    """A list of rows; a file that begins otherwise is taken for JSON lines, as many `.json` files are."""
    whole = text.read()
    begin = _skip(whole, 0)
    if whole[begin : begin + 1] == "[":
        yield from _json_list(whole, begin + 1, label)
    else:
        yield from _json_lines(io.StringIO(whole, newline=""), label, tell)


def _json_list(whole: str, begin: int, label: str) -> Iterator[Row | Fault]:
    """Decode one element after the other: each knows its line, and they are not all in memory at once."""
    line, counted, position = 1, 0, _skip(whole, begin)
    if whole[position : position + 1] == "]":
        position += 1
    else:
        while True:
            line, counted = line + whole.count("\n", counted, position), position
            value, end = _decode(whole, position, label)
            yield _row(value, f"{label}:{line}")
            position = _skip(whole, end)
            mark = whole[position : position + 1]
            if mark == "]":
                position += 1
                break
            if mark != ",":
                raise _broken(json.JSONDecodeError("a comma or ] is missing", whole, position), label)
            position = _skip(whole, position + 1)
    if _skip(whole, position) != len(whole):
        raise _broken(json.JSONDecodeError("something follows the list", whole, _skip(whole, position)), label)


def _skip(whole: str, position: int) -> int:
    found = SPACE.match(whole, position)
    return found.end() if found else position


def _decode(whole: str, position: int, label: str) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(whole, position)
    except json.JSONDecodeError as error:
        raise _broken(error, label) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise _broken(json.JSONDecodeError(str(error), whole, position), label) from None


def _broken(error: json.JSONDecodeError, label: str) -> DataError:
    rest = error.doc[error.pos : error.pos + 10].rstrip()
    is_cut = error.msg.startswith("Unterminated") or any(word.startswith(rest) for word in WORDS)
    what = "the JSON is cut off" if is_cut else f"not JSON: {error.msg}"
    return DataError(
        what,
        where=f"{label}:{error.lineno}, column {error.colno}",
        mend="copy the file again, it ends too early" if is_cut else "mend the line at that column",
    )


def _json_lines(text: TextIO, label: str, tell: Tell) -> Iterator[Row | Fault]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        place = f"{label}:{number}"
        try:
            yield _row(DECODER.decode(line.rstrip()), place)
        except json.JSONDecodeError as error:
            where = f"{place}, column {error.colno}"
            yield Fault("not JSON", f"not JSON: {error.msg}", where, "write one whole JSON object on each line")
        except (ValueError, RecursionError) as error:
            yield Fault("not JSON", f"not JSON: {error}", place, "write one whole JSON object on each line")


def _row(value: Any, place: str) -> Row | Fault:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return Fault("not an object", f"the row is {_short(value)}, not an object", place, 'write {"column": value}')
    return Row(place, value)


def _short(value: Any) -> str:
    text = f"a list of {len(value)}" if isinstance(value, list) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


READERS: dict[str, Callable[[TextIO, str, Tell], Iterator[Row | Fault]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
