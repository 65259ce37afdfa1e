"""Rows: CSV, TSV, JSON lines and JSON arrays. Each row is a piece of knowledge with its columns beside it."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import DataError
from luthier.index.parsed import Block, Parsed
from luthier.index.read_text import decode

LONGEST_VALUE = 200
"""Characters of a column that is kept beside the text, to be filtered by."""
csv.field_size_limit(100_000_000)


def read_csv(path: Path) -> Parsed:
    """Read a table with a line of heads."""
    text = decode(path.read_bytes(), str(path))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, path))
    heads = [head.strip() for head in next(lines, [])]
    rows = (dict(zip(heads, line, strict=False)) for line in lines)
    return Parsed(path.stem, list(_blocks(rows)), {"type": "table"})


def read_jsonl(path: Path) -> Parsed:
    """Read JSON lines; empty lines are passed over."""
    text = decode(path.read_bytes(), str(path))
    rows = (_load(line, f"{path}:{number}") for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    return Parsed(path.stem, list(_blocks(rows)), {"type": "table"})


def read_json(path: Path) -> Parsed:
    """Read a JSON array of rows, or one row."""
    value = _load(decode(path.read_bytes(), str(path)), str(path))
    return Parsed(path.stem, list(_blocks(iter(value if isinstance(value, list) else [value]))), {"type": "table"})


def _blocks(rows: Iterator[Any]) -> Iterator[Block]:
    for number, row in enumerate(rows, start=1):
        values = dict(_flat(row)) if isinstance(row, Mapping) else {"": _plain(row)}
        said = [f"{name}: {value}" if name else value for name, value in values.items() if value.strip()]
        if said:
            short = {name: value for name, value in values.items() if name and 0 < len(value) <= LONGEST_VALUE}
            yield Block("row", "\n".join(said), metadata={**short, "row": number})


def _flat(row: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{'' if name is None else name}", _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_plain(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {inner}" for name, inner in _flat(value))
    return "" if value is None else str(value).replace("\r\n", "\n").strip()


def _delimiter(text: str, path: Path) -> str:
    if path.suffix.casefold() == ".tsv":
        return "\t"
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _load(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is no JSON: {error}", where=where, mend="mend the line, or leave the file out") from None
