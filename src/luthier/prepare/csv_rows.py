"""CSV and TSV: records that may run over several lines, under a header."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.prepare.batch import Batch, Row, grouped
from luthier.prepare.fault import Fault
from luthier.prepare.opening import opened
from luthier.prepare.source import Source

LONGEST_FIELD = 1 << 27
"""Characters; Python's own bound of 131,072 is below the length of real documents."""


def csv_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Split a file into records. Raises DataError for a header that cannot be used and a quote that never closes."""
    csv.field_size_limit(LONGEST_FIELD)
    with opened(source, encoding, tell) as text:
        first = text.readline()
        lines = csv.reader(_after(first, text), delimiter=_delimiter(first, source, tell), strict=True)
        try:
            header = tuple(next(lines, ()))
        except csv.Error as error:
            raise _not_csv(error, source.label, lines.line_num) from None
        _check_header(header, source.label)
        for group in grouped(_records(lines, source.label), size):
            yield Batch(source.label, "fields", group, group[0][0], columns=header)


def parse_fields(batch: Batch) -> Iterator[Row | Fault]:
    """Name the fields of each record; one that does not fit the header is a Fault."""
    header = batch.columns
    for line, fields in batch.payload:
        place = f"{batch.label}:{line}"
        if len(fields) == len(header):
            yield Row(place, dict(zip(header, fields, strict=True)), closed=True)
        else:
            yield Fault(
                "fields do not fit the header",
                f"the row has {len(fields)} fields, the header {len(header)}",
                place,
                "quote fields that hold the delimiter or a line end",
            )


def _records(lines: Any, label: str) -> Iterator[tuple[int, list[str], int]]:
    begin = lines.line_num + 1
    try:
        for fields in lines:
            if fields:
                yield begin, fields, sum(map(len, fields))
            begin = lines.line_num + 1
    except csv.Error as error:
        raise _not_csv(error, label, lines.line_num) from None


def _not_csv(error: csv.Error, label: str, line: int) -> DataError:
    return DataError(f"not CSV: {error}", where=f"{label}:{line}", mend='close the quote; write " inside one as ""')


def _after(first: str, rest: TextIO) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str, source: Source, tell: Tell) -> str:
    if source.suffix == ".tsv":
        return "\t"
    if "," in header:
        return ","
    for delimiter, name in (("\t", "tab"), (";", "semicolon")):
        if delimiter in header:
            tell(Chose("delimiter", name, why=f"the header of {source.label} has it and no comma"))
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
