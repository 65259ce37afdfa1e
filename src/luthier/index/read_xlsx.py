"""Workbooks: a heading for each sheet, a table for each run of rows that are not empty; formulas by their values."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from luthier.errors import DataError
from luthier.index.archive import check_archive
from luthier.index.parsed import Block, Parsed


def read(path: Path) -> Parsed:
    """Read an XLSX file."""
    check_archive(path, "XLSX")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parts of a workbook that only matter when it is written again
            book = load_workbook(path, read_only=True, data_only=True)
            blocks = [block for sheet in book.worksheets for block in _sheet(sheet)]
            title = book.properties.title
            book.close()
    except (InvalidFileException, BadZipFile, KeyError, ValueError) as error:
        raise DataError(
            f"the file is no whole workbook: {error}", where=str(path), mend="save it anew as XLSX, or leave it out"
        ) from None
    return Parsed(str(title or path.stem), blocks, {"type": "xlsx"})


def _sheet(sheet: Any) -> Iterator[Block]:
    tables = list(_tables(sheet.iter_rows(values_only=True)))
    if tables:
        yield Block("heading", sheet.title, 1)
        yield from (Block("table", text, metadata={"sheet": sheet.title}) for text in tables)


def _tables(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    table: list[list[str]] = []
    for row in [*rows, ()]:
        cells = ["" if value is None else " ".join(str(value).split()) for value in row]
        if any(cells):
            table.append(cells)
        elif table:
            for lines in _beside(table):
                yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
            table = []


def _beside(table: Sequence[Sequence[str]]) -> Iterator[list[tuple[str, ...]]]:
    """Give the tables that stand side by side. What stands behind an empty column is a table of its own where it begins
    in another row, or has several columns and ends in another; else the empty column is left out."""
    columns = list(zip_longest(*table, fillvalue=""))
    first, *others = [list(run) for is_filled, run in groupby(columns, any) if is_filled]
    tables = [first]
    for run in others:
        (top, end), (its_top, its_end) = _reach(tables[-1]), _reach(run)
        if its_top != top or (its_end != end and len(run) > 1):
            tables.append(run)
        else:
            tables[-1] += run
    for found in tables:
        yield [line for line in zip(*found, strict=True) if any(line)]


def _reach(columns: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Give the first and the last row in which something stands."""
    filled = [place for place, line in enumerate(zip(*columns, strict=True)) if any(line)]
    return filled[0], filled[-1]
