"""Words and phrases of a file are found, and a file that cannot be used says where."""

from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.prepare.clean.blocklist import mask, read_blocklist


def written(folder: Path, text: str) -> Path:
    path = folder / "blocked.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Secret sauce", "[blocked] sauce"),
        ("secretary, secrets", "secretary, secrets"),
        ("这是内部资料。", "这是[blocked]。"),
        ("用secret写", "用[blocked]写"),
        ("Project   Blue\nis on, project bluebird is not", "[blocked]\nis on, project bluebird is not"),
        ("case AB-1234 and ab-1234", "case [blocked] and ab-1234"),
        ("C++ and C", "[blocked] and C"),
        ("ÉCLAIR", "[blocked]"),
        ("nothing here", "nothing here"),
    ],
)
def test_phrases_are_found_as_whole_words_and_in_chinese_anywhere(tmp_path: Path, text: str, masked: str) -> None:
    listed = read_blocklist(
        written(tmp_path, "secret\nproject blue\n\n内部资料\n内部\nC++\néclair\nre:[A-Z]{2}-\\d{4}\n")
    )
    assert mask(text, listed.find(text)) == masked


def test_finds_that_overlap_are_one(tmp_path: Path) -> None:
    listed = read_blocklist(written(tmp_path, "机密文件\n文件编号\n"))
    assert listed.find("机密文件编号") == [(0, 6)]


@pytest.mark.parametrize(
    ("text", "where", "mend"),
    [
        ("good\nre:(open\n", ":2", "without re:"),
        ("re:x*\n", ":1", "needs a character"),
        ("\n  \n", "blocked.txt", "on each line"),
    ],
)
def test_a_file_that_cannot_be_used_says_which_line(tmp_path: Path, text: str, where: str, mend: str) -> None:
    with pytest.raises(DataError) as caught:
        read_blocklist(written(tmp_path, text))
    assert caught.value.where.endswith(where)
    assert mend in caught.value.mend


def test_a_missing_file_and_another_encoding_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as missing:
        read_blocklist(tmp_path / "none.txt")
    assert (missing.value.where, missing.value.mend) == (
        str(tmp_path / "none.txt"),
        "give clean.blocklist a file that is there",
    )
    (tmp_path / "gbk.txt").write_bytes("内部资料".encode("gbk"))
    with pytest.raises(DataError, match="not UTF-8") as wrong:
        read_blocklist(tmp_path / "gbk.txt")
    assert (wrong.value.where, wrong.value.mend) == (str(tmp_path / "gbk.txt"), "save it as UTF-8")
