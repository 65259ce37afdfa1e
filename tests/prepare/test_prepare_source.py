"""Files from outside: found or not, whole or not, of the encoding they claim."""

import codecs
import gzip
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.source import Source, find_sources, opened


def read(path: Path, encoding: str = "auto") -> str:
    with opened(Source(path, "rows.csv" + (".gz" if path.suffix == ".gz" else "")), encoding, hush) as text:
        return text.read()


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("{}")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "question.jsonl")])
    assert "question.jsonl" in caught.value.what
    assert caught.value.where == str(tmp_path / "question.jsonl")
    assert caught.value.mend == f"did you mean {tmp_path / 'questions.jsonl'}?"


def test_a_missing_file_in_a_missing_folder_still_has_a_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "no" / "a.csv")])
    assert "give the path of a file" in caught.value.mend


def test_a_folder_is_no_file_of_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path)])
    assert "is a folder" in caught.value.what
    assert caught.value.where == str(tmp_path)
    assert caught.value.mend == "name the files in it"


def test_a_file_of_unknown_format_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "a.xlsx")])
    assert "'a.xlsx'" in caught.value.what
    assert caught.value.where == str(tmp_path / "a.xlsx")
    assert ".csv, .tsv, .json, .jsonl" in caught.value.mend


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.what == "the file is empty"
    assert caught.value.where == name
    assert "leave it out of source" in caught.value.mend


def test_a_wrong_byte_is_named_by_offset_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("问题,答案\n".encode() + "你好,好".encode("gb18030"))
    with pytest.raises(DataError) as caught:
        read(path)
    # "问题,答案\n" is 14 bytes in UTF-8; GB 18030 writes 你 as C4 E3.
    assert caught.value.what == "byte 14 is 0xc4, which is not utf-8"
    assert caught.value.where == "rows.csv:2"
    assert "encoding=gb18030" in caught.value.mend


def test_a_wrong_byte_far_into_a_marked_file_keeps_its_true_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    begin = codecs.BOM_UTF8 + b"x\n" * 100_000
    path.write_bytes(begin + b"\xff\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.what == f"byte {len(begin)} is 0xff, which is not utf-8"
    assert caught.value.where == "rows.csv:100001"


def test_a_named_encoding_is_taken_and_its_own_wrong_byte_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("你好".encode("gb18030"))
    assert read(path, "gb18030") == "你好"
    path.write_bytes(b"ok\n\x80\xff")
    with pytest.raises(DataError) as caught:
        read(path, "gb18030")
    assert "not gb18030" in caught.value.what
    assert caught.value.where == "rows.csv:2"
    assert "set encoding to what it was saved in" in caught.value.mend


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_recognised_and_told(tmp_path: Path, told: list[Event], encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("问题,a", encoding=encoding)
    with opened(Source(path, "a.csv"), "auto", told.append) as text:
        assert text.read() == "问题,a"
    assert told == [Chose("encoding", encoding, "a.csv begins with its byte order mark")]


def test_a_byte_order_mark_is_no_text_where_utf_8_is_named(tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("问题,a", encoding="utf-8-sig")
    with opened(Source(path, "a.csv"), "utf8", told.append) as text:
        assert text.read() == "问题,a"


@pytest.mark.parametrize("damage", [lambda whole: whole[:-12], lambda whole: b"not gzip", lambda whole: whole[:30]])
def test_a_damaged_gzip_says_to_copy_it_again(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(97, 123)) * 50)))
    with pytest.raises(DataError) as caught:
        read(path)
    assert "gzip" in caught.value.what
    assert caught.value.where == "rows.csv.gz"
    assert caught.value.mend == "copy or download it again"
