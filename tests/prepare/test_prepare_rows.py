"""CSV, JSON and JSON lines: every row knows its line, every break its place."""

import gzip
import json
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.fault import Fault
from luthier.prepare.rows import Row, batches, parse, read_rows
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


def test_a_list_of_turns_is_a_row_of_messages(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert good(read(tmp_path, "a.jsonl", json.dumps(turns))) == [("a.jsonl:1", {"messages": turns})]


def test_a_line_of_plain_text_is_a_row_and_it_is_told(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "a.txt").write_bytes("one\r\n\n \n 二\u2028 ".encode())
    rows = good(list(read_rows(Source(tmp_path / "a.txt", "a.txt"), "auto", told.append)))
    assert rows == [("a.txt:1", {"text": "one"}), ("a.txt:4", {"text": " 二\u2028 "})]
    assert told == [Chose("rows", "lines", "a.txt is plain text: each line that is not blank is a row")]


def labelled(folder: Path, text: str, labels: str, told: list[Event]) -> list[Row | Fault]:
    (folder / "t_text.txt").write_text(text)
    (folder / "t_labels.txt").write_text(labels)
    source = Source(folder / "t_text.txt", "t_text.txt", folder / "t_labels.txt")
    return [row for batch in batches(source, "auto", 2, told.append) for row in parse(batch)]


def test_lines_of_text_take_their_classes_from_the_file_beside_them(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "mapping.txt").write_text("0\tno\n1\tyes")
    rows = good(labelled(tmp_path, "a\n\nc\nd\ne", "1\n0\n1\n7\n0\n", told))
    assert rows == [
        (f"t_text.txt:{line}", {"text": text, "label": label})
        for line, text, label in ((1, "a", "yes"), (2, "", "no"), (3, "c", "yes"), (4, "d", "7"), (5, "e", "no"))
    ]
    why = "it stands beside t_text.txt, a class for each line, named by mapping.txt"
    assert told == [Chose("classes", "t_labels.txt", why)]


@pytest.mark.parametrize(
    ("labels", "what", "where"),
    [
        ("1\n0\n", "the file of classes ends before t_text.txt", "t_labels.txt:3"),
        ("1\n0\n1\n1\n", "the file of classes goes on after t_text.txt", "t_labels.txt:4"),
    ],
)
def test_classes_that_do_not_fit_their_lines_are_refused(tmp_path: Path, labels: str, what: str, where: str) -> None:
    with pytest.raises(DataError) as caught:
        labelled(tmp_path, "a\nb\nc\n", labels, [])
    assert (caught.value.what, caught.value.where) == (what, where)
    assert caught.value.mend == "give each line of text one line of class"


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "utf-8-sig"])
def test_json_lines_of_another_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "中"}\n{"q": "文"}\n', encoding=encoding)
    source = Source(tmp_path / "a.jsonl", "a.jsonl")
    rows = list(read_rows(source, "gb18030" if encoding == "gb18030" else "auto", hush))
    assert rows == [Row("a.jsonl:1", {"q": "中"}), Row("a.jsonl:2", {"q": "文"})]


def test_a_wrong_byte_in_json_lines_is_named_by_offset_and_line_after_the_rows_before_it(tmp_path: Path) -> None:
    begin = b'{"q": 1}\n' * 1000
    (tmp_path / "a.jsonl").write_bytes(begin + b'{"q": "\xff"}\n')
    rows = read_rows(Source(tmp_path / "a.jsonl", "a.jsonl"), "auto", hush)
    assert len([next(rows) for _ in range(1000)]) == 1000
    with pytest.raises(DataError) as caught:
        next(rows)
    assert caught.value.what == f"byte {len(begin) + 7} is 0xff, which is not utf-8"
    assert caught.value.where == "a.jsonl:1001"
    assert "encoding=gb18030" in caught.value.mend


def test_a_byte_0_makes_its_line_of_json_a_bad_row_and_leaves_the_others(tmp_path: Path) -> None:
    lines = [json.dumps({"q": "Which strings last longest?"}), '{"q": "And\0?"}', json.dumps({"q": "Which bow?"})]
    rows = read(tmp_path, "a.jsonl", "\n".join(lines))
    assert [type(row) for row in rows] == [Row, Fault, Row]
    assert "control character" in next(row.what for row in rows if isinstance(row, Fault))
