"""Workbooks: a heading for each sheet, a table for each run of rows that are not empty; formulas by their values."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import zip_longest
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
            columns = [column for column in zip_longest(*table, fillvalue="") if any(column)]
            yield "\n".join(f"| {' | '.join(line)} |" for line in zip(*columns, strict=True))
            table = []
