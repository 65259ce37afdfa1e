"""Raw rows of any source: cut into batches here, parsed wherever there is room."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from luthier.errors import DataError
from luthier.event import Tell, hush
from luthier.prepare.batch import Batch, Row, grouped, rows_of
from luthier.prepare.csv_rows import csv_batches, parse_fields
from luthier.prepare.dataset import DATASET
from luthier.prepare.dataset_rows import dataset_batches
from luthier.prepare.fault import Fault
from luthier.prepare.json_stream import elements, fields_beside, is_json_lines
from luthier.prepare.line_rows import json_line_batches, parse_json_lines, parse_text_lines, text_batches
from luthier.prepare.nested import named
from luthier.prepare.opening import opened
from luthier.prepare.source import Source
from luthier.prepare.tables import arrow_batches, parquet_batches, parse_records

__all__ = ["ROWS", "Batch", "Row", "batches", "parse", "read_rows"]
ROWS = 512
"""Of a batch."""
HEAD = 1 << 20
"""Characters of a .json file by which is told how its rows stand in it."""


def batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Cut a source into batches of `size` rows or less, in its order, with memory that its size does not change.

    Raises DataError for what makes the rest of the file doubtful: its encoding, a JSON list that is cut off,
    a quote in a CSV that never closes, a packed file that is not whole.
    """
    return READERS[source.suffix](source, encoding, size, tell)


def parse(batch: Batch) -> Iterator[Row | Fault]:
    """Make rows of a batch. A single bad row comes as a Fault; a byte that is no UTF-8 raises DataError."""
    return PARSERS[batch.kind](batch)


def read_rows(source: Source, encoding: str, tell: Tell) -> Iterator[Row | Fault]:
    """Read a source row by row. Raises DataError as `batches` and `parse` do."""
    for batch in batches(source, encoding, ROWS, tell):
        yield from parse(batch)


def _json_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Read one document of JSON; what begins with an object on each line is JSON lines, as many `.json` files are."""
    with opened(source, encoding, hush) as text:
        head = text.read(HEAD)
    if not head.lstrip().startswith("[") and is_json_lines(head):
        yield from json_line_batches(source, encoding, size, tell)
        return
    beside = _beside(source, encoding) if head.lstrip().startswith("{") else {}
    with opened(source, encoding, tell) as text:
        found = elements(text, source.label, tell)
        for name, run in groupby(found, key=lambda element: element.list_name):
            for group in grouped(((one.line, one.value, one.length) for one in run), size):
                yield Batch(source.label, "values", group, group[0][0], list_name=name, beside=beside)


def _beside(source: Source, encoding: str) -> dict[str, Any]:
    try:
        with opened(source, encoding, hush) as text:
            return fields_beside(text, source.label)
    except DataError:
        return {}  # comes again where the rows are read


def _parse_values(batch: Batch) -> Iterator[Row | Fault]:
    for line, value in batch.payload:
        rows = rows_of(value, f"{batch.label}:{line}")
        if batch.beside:
            rows = (replace(row, data={**batch.beside, **row.data}) if isinstance(row, Row) else row for row in rows)
        yield from named(rows, batch.list_name) if batch.list_name else rows


def _dataset_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    return dataset_batches(source, size, tell)


READERS: dict[str, Callable[[Source, str, int, Tell], Iterator[Batch]]] = {
    ".csv": csv_batches,
    ".tsv": csv_batches,
    ".json": _json_batches,
    ".jsonl": json_line_batches,
    ".ndjson": json_line_batches,
    ".txt": text_batches,
    ".parquet": parquet_batches,
    ".arrow": arrow_batches,
    DATASET: _dataset_batches,
}
PARSERS: dict[str, Callable[[Batch], Iterator[Row | Fault]]] = {
    "json lines": parse_json_lines,
    "text lines": parse_text_lines,
    "fields": parse_fields,
    "values": _parse_values,
    "records": parse_records,
}
