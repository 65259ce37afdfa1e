"""Parquet and Arrow: batches of records cut out without reading the whole file, made into rows where they are used."""

import datetime
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

from luthier.errors import DataError, ToolError
from luthier.event import Tell
from luthier.prepare.batch import MOST_CHARACTERS, Batch, Row
from luthier.prepare.source import Source

ClassNames = Mapping[str, tuple[str, ...]]


def pyarrow() -> Any:
    """Load pyarrow. Raises ToolError that names the extra where it is not installed."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise ToolError(
            "pyarrow is not installed, it reads .parquet and .arrow files",
            where="extra data",
            mend="pip install 'luthier[data]'",
        ) from None
    return pyarrow


def parquet_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Read a Parquet file some pages at a time. Raises DataError for a file that is not whole."""
    arrow = pyarrow()
    try:
        with arrow.parquet.ParquetFile(source.path, memory_map=True) as file:
            names = class_names(file.schema_arrow.metadata)
            yield from record_batches(source.label, file.iter_batches(batch_size=size), names)
    except (arrow.ArrowException, OSError) as error:
        raise _not_whole(source, "Parquet", error) from None


def arrow_batches(source: Source, encoding: str, size: int, tell: Tell) -> Iterator[Batch]:
    """Read an Arrow file, of either kind (as `datasets` and as Feather write it). Raises DataError if it is broken."""
    arrow = pyarrow()
    try:
        with ExitStack() as files:
            file = files.enter_context(arrow.memory_map(str(source.path)))
            try:
                reader = files.enter_context(arrow.ipc.open_file(file))
                records = (reader.get_batch(number) for number in range(reader.num_record_batches))
            except arrow.ArrowInvalid:
                file.seek(0)
                reader = records = files.enter_context(arrow.ipc.open_stream(file))
            cut = (record.slice(begin, size) for record in records for begin in range(0, record.num_rows, size))
            yield from record_batches(source.label, cut, class_names(reader.schema.metadata))
    except (arrow.ArrowException, OSError) as error:
        raise _not_whole(source, "Arrow", error) from None


def record_batches(label: str, records: Iterator[Any], names: ClassNames, first_row: int = 1) -> Iterator[Batch]:
    """Pack pyarrow's record batches for the way: a slice would drag its whole buffer along."""
    arrow = pyarrow()
    row = first_row
    for record in records:
        _check_columns(record.schema.names, label)
        parts = min(record.nbytes // MOST_CHARACTERS + 1, max(record.num_rows, 1))
        step = -(-record.num_rows // parts) or 1
        for begin in range(0, record.num_rows, step):
            part = record.slice(begin, step)
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, record.schema) as writer:
                writer.write_batch(part)
            yield Batch(label, "records", sink.getvalue().to_pybytes(), row, class_names=names)
            row += part.num_rows


def parse_records(batch: Batch) -> Iterator[Row]:
    """Make rows of records. A row's place is which row of the file it is, from 1."""
    arrow = pyarrow()
    try:
        rows = arrow.ipc.open_stream(batch.payload).read_all().to_pylist()
    except (arrow.ArrowException, ValueError, OverflowError) as error:
        raise DataError(
            f"the rows cannot be read: {error}",
            where=f"{batch.label}:{batch.first_line}",
            mend="write text as UTF-8, or leave out columns of dates that Python does not know",
        ) from None
    for number, row in enumerate(rows, batch.first_line):
        data = {column: _plain(value) for column, value in row.items()}
        for column, names in batch.class_names.items():
            data[column] = _named(data.get(column), names)
        yield Row(f"{batch.label}:{number}", data, closed=True)


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Give the names of classes that `datasets` writes into a schema: column -> names, in the order of the numbers."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[column] = tuple(map(str, inner["names"]))
    return found


def _named(value: Any, names: tuple[str, ...]) -> Any:
    """Give a class its name; -1 is how `datasets` marks a row without one."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value


def _plain(value: Any) -> Any:
    """Give dates and decimals as text, and no number as nothing: what JSON would hold in their place.

    Inside a column, nothing is left out: a table gives every object in a list all the names that any of them has.
    """
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | Decimal):
        return str(value)
    return value


def _check_columns(columns: list[str], label: str) -> None:
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError(f"the column {twice[0]!r} stands twice in the schema", where=label, mend="rename one of them")


def _not_whole(source: Source, kind: str, error: Exception) -> DataError:
    if not source.path.stat().st_size:
        return DataError("the file is empty", where=source.label, mend="put rows into it, or leave it out of source")
    return DataError(
        f"the {kind} file cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
        where=source.label,
        mend="copy or download it again",
    )
