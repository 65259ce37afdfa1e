"""Parquet and Arrow, and batches of every format: cut anyhow, they give the same rows."""

import csv
import datetime
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare import batch, line_rows, tables
from luthier.prepare.fault import Fault
from luthier.prepare.rows import Batch, Row, batches, parse, read_rows
from luthier.prepare.source import Source


def good(rows: list[Row | Fault]) -> list[tuple[str, object]]:
    return [(row.place, row.data) for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow"])
def test_batches_of_any_size_travel_and_give_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[path.suffix](path, [{"q": f"line\t{n}", "a": "中" * n} for n in range(1, 24)])
    source = Source(path, name)
    whole = list(read_rows(source, "auto", hush))
    assert len(whole) == 23
    assert all(isinstance(row, Row) for row in whole)
    for size in (1, 5, 100):
        cut = list(batches(source, "auto", size, hush))
        assert all(0 < len(list(parse(batch))) <= size for batch in cut)
        assert len(cut) >= -(-23 // size)
        assert [row for batch in cut for row in parse(pickle.loads(pickle.dumps(batch)))] == whole
        assert all(isinstance(batch, Batch) and batch.emptied().label == name for batch in cut)


def test_batches_end_early_where_rows_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch, line_rows, tables):
        monkeypatch.setattr(module, "MOST_CHARACTERS", 1000)
    for name in ("a.jsonl", "a.json", "a.csv", "a.parquet"):
        path = tmp_path / name
        WRITERS[path.suffix](path, [{"q": "x" * 400}] * 12)
        assert max(len(list(parse(one))) for one in batches(Source(path, name), "auto", 512, hush)) <= 3


def test_parquet_and_arrow_give_plain_values_and_the_names_of_classes(tmp_path: Path) -> None:
    day = datetime.date(2026, 1, 2)
    features = Features({"day": Value("date32"), "label": ClassLabel(names=["no", "yes"]), "n": Value("float32")})
    rows = {"day": [day, None, day], "label": [1, -1, 0], "n": [1.5, math.nan, None]}
    data = Dataset.from_dict(rows, features=features)
    data.to_parquet(str(tmp_path / "a.parquet"))
    data.save_to_disk(str(tmp_path / "saved"))
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    for path in (tmp_path / "a.parquet", arrow):
        assert good(list(read_rows(Source(path, path.name), "auto", hush))) == [
            (f"{path.name}:1", {"day": "2026-01-02", "label": "yes", "n": 1.5}),
            (f"{path.name}:2", {"day": None, "label": None, "n": None}),
            (f"{path.name}:3", {"day": "2026-01-02", "label": "no", "n": None}),
        ]


def test_what_one_record_has_and_another_lacks_is_absent_inside_not_nothing(tmp_path: Path) -> None:
    table = pyarrow.table({"m": [[{"a": 1, "b": None}, {"a": None, "b": "x"}]], "t": [None]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert good(list(read_rows(Source(tmp_path / "a.parquet", "a.parquet"), "auto", hush))) == [
        ("a.parquet:1", {"m": [{"a": 1}, {"b": "x"}], "t": None})
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_cut_table_says_to_copy_it_again(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / name
    WRITERS[path.suffix](path, [{"q": f"{n}"} for n in range(100)])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError) as caught:
        list(read_rows(Source(path, name), "auto", hush))
    assert caught.value.where == name
    assert caught.value.what.startswith("the file is empty" if not size else "the ")
    assert caught.value.mend == ("copy or download it again" if size else "put rows into it, or leave it out of source")


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)


def write_arrow(path: Path, rows: list[dict[str, str]]) -> None:
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=7)


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


WRITERS: dict[str, Callable[[Path, list[dict[str, str]]], object]] = {
    ".jsonl": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
    ".json": lambda path, rows: path.write_text(json.dumps(rows)),
    ".csv": write_csv,
    ".tsv": write_csv,
    ".txt": lambda path, rows: path.write_text("".join(f"{row['q']}\n" for row in rows)),
    ".parquet": write_table,
    ".arrow": write_arrow,
}
