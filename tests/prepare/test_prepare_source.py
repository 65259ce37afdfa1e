"""Files from outside: found or not, whole or not, of the encoding they claim."""

import codecs
import gzip
import hashlib
import random
from pathlib import Path

import pytest
import zstandard

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.opening import opened
from luthier.prepare.source import Source, find_sources


def read(path: Path, encoding: str = "auto") -> str:
    packing = path.suffix if path.suffix in (".gz", ".zst") else ""
    with opened(Source(path, f"rows.csv{packing}"), encoding, hush) as text:
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


def test_a_folder_gives_its_files_of_rows_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "sub/c.json.gz", "sub/d.jsonl.zst", "README.md", "card.json", ".hidden/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    folder = str(tmp_path)
    found = find_sources([folder])
    assert [source.label for source in found] == [
        f"{folder}/{name}" for name in ("a.csv", "b.jsonl", "sub/c.json.gz", "sub/d.jsonl.zst")
    ]
    assert [source.suffix for source in found] == [".csv", ".jsonl", ".json", ".jsonl"]
    assert [source.packing for source in found] == ["", "", ".gz", ".zst"]
    assert find_sources([f"{folder}/**/*.json*"]) == found[1:]


def test_a_folder_without_rows_says_what_may_stand_in_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path)])
    assert "holds no files of rows" in caught.value.what
    assert caught.value.where == str(tmp_path)
    assert ".parquet" in caught.value.mend


def test_a_pattern_that_matches_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "*.jsonl")])
    assert caught.value.what == f"no file matches '{tmp_path}/*.jsonl'"
    (tmp_path / "a.md").write_text("x")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "*")])
    assert caught.value.what == f"1 files match '{tmp_path}/*', none of them is a file of rows"
    assert caught.value.where == str(tmp_path / "*")
    assert "give a pattern" in caught.value.mend


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path), str(tmp_path / "a.csv")])
    assert caught.value.what == f"'{tmp_path}/a.csv' is named twice"
    assert caught.value.where.startswith("key source")
    assert "leave out one" in caught.value.mend


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("x")
    assert [source.path.name for source in find_sources([str(tmp_path / "a[1].csv")])] == ["a[1].csv"]


def test_what_tells_the_content_is_the_files_own_sum(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x")
    (source,) = find_sources([str(tmp_path / "a.csv")])
    assert (source.identity(), source.bytes) == (f"sha256:{hashlib.sha256(b'x').hexdigest()}", 1)


def test_a_text_file_with_classes_beside_it_is_one_source_whose_content_they_are_too(tmp_path: Path) -> None:
    (tmp_path / "train_text.txt").write_text("good\nbad\n")
    alone = find_sources([str(tmp_path)])[0].identity()
    (tmp_path / "train_labels.txt").write_text("1\n0\n")
    (source,) = find_sources([str(tmp_path)])
    labelled = source.identity()
    (tmp_path / "mapping.txt").write_text("0\tno\n1\tyes\n")
    (source,) = find_sources([str(tmp_path / "train_text.txt")])
    assert source.classes == tmp_path / "train_labels.txt"
    assert len({alone, labelled, source.identity()}) == 3


def test_a_file_of_unknown_format_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        find_sources([str(tmp_path / "a.xlsx")])
    assert "'a.xlsx'" in caught.value.what
    assert caught.value.where == str(tmp_path / "a.xlsx")
    assert caught.value.mend.startswith(
        "save the table as CSV; prepare reads a file that ends in .csv, .tsv, .json, .jsonl"
    )
    (tmp_path / "a.parquet.gz").write_bytes(b"PK")
    with pytest.raises(DataError, match="cannot be told from its name"):
        find_sources([str(tmp_path / "a.parquet.gz")])


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.csv.zst"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(packed(name, b"") if name != "rows.csv" else b"")
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


def test_a_file_that_is_no_text_says_so_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"PK\x03\x04\x14\0\x06" + bytes(range(256)))
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.what == "byte 5 is 0x00: this is no text"
    assert caught.value.where == "rows.csv"
    assert "a table saved as CSV, an archive unpacked" in caught.value.mend
    path.write_bytes("q,a\n1,2\n".encode("utf-16-le"))
    with pytest.raises(DataError) as caught:
        read(path)
    assert "encoding (utf-16-le; utf-8)" in caught.value.mend
    assert read(path, "utf-16-le") == "q,a\n1,2\n"


def test_a_byte_0_in_a_text_is_read_and_a_file_of_many_is_read_where_its_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "q,a\nWhich wood?,Spruce\0\n" + "And the bow?,Pernambuco\n" * 3
    path.write_text(text)
    assert read(path) == read(path, "utf-8") == text
    path.write_text("a\0\n" * 20)
    with pytest.raises(DataError, match="byte 1 is 0x00: this is no text") as caught:
        read(path)
    assert "or set encoding" in caught.value.mend
    assert read(path, "utf-8") == "a\0\n" * 20


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


def packed(name: str, data: bytes) -> bytes:
    return gzip.compress(data) if name.endswith(".gz") else zstandard.compress(data)


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.csv.zst"])
@pytest.mark.parametrize("damage", [lambda whole: whole[:-12], lambda whole: b"not packed", lambda whole: whole[:20]])
def test_a_damaged_packed_file_says_to_copy_it_again(tmp_path: Path, damage: object, name: str) -> None:
    assert callable(damage)
    path = tmp_path / name
    path.write_bytes(damage(packed(name, random.Random(0).randbytes(500).hex().encode() * 3)))
    with pytest.raises(DataError) as caught:
        read(path)
    assert ("gzip" if name.endswith(".gz") else "Zstandard") in caught.value.what
    assert caught.value.where == name
    assert caught.value.mend == "copy or download it again"


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.csv.zst"])
def test_packed_files_of_several_parts_are_read_whole(tmp_path: Path, name: str) -> None:
    text = "é中\n" * 300_000
    half = len(text) // 2
    (tmp_path / name).write_bytes(packed(name, text[:half].encode()) + packed(name, text[half:].encode()))
    assert read(tmp_path / name) == text
