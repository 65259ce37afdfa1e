"""CSV, JSON and JSON lines: every row knows its line, every break its place."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.fault import Fault
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import Source


def read(folder: Path, name: str, text: str | bytes) -> list[Row | Fault]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(Source(path, name), "auto", hush))


def good(rows: list[Row | Fault]) -> list[tuple[str, object]]:
    return [(row.place, row.data) for row in rows if isinstance(row, Row)]


def test_a_csv_row_is_named_by_the_line_where_it_begins(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", 'q,a\r\n"one\r\ntwo",1\r\n\r\n"said ""hi""",2\r\n')
    assert good(rows) == [("a.csv:2", {"q": "one\r\ntwo", "a": "1"}), ("a.csv:5", {"q": 'said "hi"', "a": "2"})]


def test_a_quote_that_never_closes_stops_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.csv", 'q,a\n1,2\n"open,3\n4,5\n')
    assert caught.value.what.startswith("not CSV")
    assert caught.value.where == "a.csv:4"
    assert "close the quote" in caught.value.mend


def test_a_csv_row_with_too_many_fields_is_a_fault_of_that_line_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", "q,a\n1,2,3\n4,5\n")
    fault = rows[0]
    assert isinstance(fault, Fault)
    assert (fault.what, fault.where) == ("the row has 3 fields, the header 2", "a.csv:2")
    assert "quote fields" in fault.mend
    assert good(rows) == [("a.csv:3", {"q": "4", "a": "5"})]


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [("q,a,q\n1,2,3\n", "'q' stands twice", "rename"), ("\n1,2\n", "names no columns", "begin the file with a header")],
)
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, text: str, what: str, mend: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.csv", text)
    assert what in caught.value.what
    assert caught.value.where == "a.csv:1"
    assert mend in caught.value.mend


def test_a_field_longer_than_the_csv_module_likes_is_read(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", "q,a\n1," + "x" * 200_000 + "\n")
    assert [len(row.data["a"]) for row in rows if isinstance(row, Row)] == [200_000]


def test_tabs_and_semicolons_are_taken_for_delimiters_and_told(tmp_path: Path, told: list[Event]) -> None:
    assert good(read(tmp_path, "a.tsv", "q\ta, b\n1\t2\n")) == [("a.tsv:2", {"q": "1", "a, b": "2"})]
    path = tmp_path / "b.csv"
    path.write_text("q;a\n1,5;2\n")
    assert good(list(read_rows(Source(path, "b.csv"), "auto", told.append))) == [("b.csv:2", {"q": "1,5", "a": "2"})]
    assert told == [Chose("delimiter", "semicolon", "the header of b.csv has it and no comma")]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("wrap", [lambda row: row, lambda row: [row]])
def test_a_json_list_gives_the_rows_that_the_json_module_reads(
    tmp_path: Path, indent: int | None, wrap: Callable[[object], object]
) -> None:
    wanted = [{"q": "中\n文", "n": 1.5}, {"q": [], "n": None}, {}]
    rows = read(tmp_path, "a.json", json.dumps([wrap(row) for row in wanted], indent=indent))
    assert [data for _, data in good(rows)] == wanted


def test_a_json_row_is_named_by_the_line_where_it_begins(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.json", '[\n {"q":\n  1},\n\n {"q": 2}, {"q": 3}\n]\n')
    assert [place for place, _ in good(rows)] == ["a.json:2", "a.json:5", "a.json:5"]


def test_a_json_list_cut_off_anywhere_says_so_with_line_and_column(tmp_path: Path) -> None:
    whole = '[{"q": "one", "a": 12},\n {"q": "two", "a": null}]'
    cuts = range(1, len(whole))
    assert len(cuts) > 40
    for cut in cuts:
        with pytest.raises(DataError) as caught:
            read(tmp_path, "a.json", whole[:cut])
        lines = whole[:cut].split("\n")
        line, column = caught.value.where.removeprefix("a.json:").split(", column ")
        assert int(line) <= len(lines)
        assert int(column) <= len(lines[int(line) - 1]) + 1
        assert caught.value.what == "the JSON is cut off"
        assert "it ends too early" in caught.value.mend
    # The last cut takes the closing bracket only: it is missed right behind the second row.
    assert caught.value.where == "a.json:2, column 25"


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ('[{"q": 1} {"q": 2}]', "a comma or ] is missing", "a.json:1, column 11"),
        ('[{"q": 1}] []', "something follows the list", "a.json:1, column 12"),
        ("[{'q': 1}]", "Expecting property name", "a.json:1, column 3"),
        ("[" + "[" * 100_000 + "]" * 100_000 + "]", "not JSON", "a.json:1, column 2"),
        ("[" + "9" * 5_000 + "]", "not JSON", "a.json:1, column 2"),
    ],
)
def test_broken_json_is_named_with_its_place(tmp_path: Path, text: str, what: str, where: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.json", text)
    assert what in caught.value.what
    assert caught.value.where == where
    assert caught.value.mend == "mend the line at that column"


def test_json_lines_are_read_from_both_names_and_from_gzip(tmp_path: Path) -> None:
    text = '{"q": 1}\n\n[{"q": "\u2028"}]\r\n'
    wanted = [1, "\u2028"]
    for name in ("a.jsonl", "a.ndjson", "a.json"):
        rows = good(read(tmp_path, name, text))
        assert rows == [(f"{name}:1", {"q": wanted[0]}), (f"{name}:3", {"q": wanted[1]})]
    assert len(good(read(tmp_path, "a.jsonl.gz", gzip.compress(text.encode())))) == 2


def test_a_broken_line_among_json_lines_is_a_fault_of_that_line_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.jsonl", '{"q": 1}\n{"q": 2\n3\n[1, 2]\n{"q": 4}\n' + "[" * 100_000 + "\n")
    faults = [row for row in rows if isinstance(row, Fault)]
    assert [fault.where for fault in faults] == ["a.jsonl:2, column 8", "a.jsonl:3", "a.jsonl:4", "a.jsonl:6"]
    assert [fault.reason for fault in faults] == ["not JSON", "not an object", "not an object", "not JSON"]
    assert "one whole JSON object on each line" in faults[0].mend
    assert faults[2].what == "the row is a list of 2, not an object"
    assert [place for place, _ in good(rows)] == ["a.jsonl:1", "a.jsonl:5"]


def test_nan_reads_as_nothing(tmp_path: Path) -> None:
    assert good(read(tmp_path, "a.json", '[{"q": NaN}]')) == [("a.json:1", {"q": None})]
