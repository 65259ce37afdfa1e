"""The chain: any change of what was written is found, wherever it was made."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.artifact.chain import append_chain, head_path, read_chain
from luthier.errors import StoreError
from luthier.event import Event, Warned

WHY = ["the gate passed", "因为更好", 'a "quoted" reason', "by hand"]


def written(folder: Path) -> Path:
    path = folder / "log.jsonl"
    for why in WHY:
        append_chain(path, {"why": why, "figures": {"a": 1.5}})
    return path


def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        read_chain(path)
    assert "put the file back as it was" in caught.value.mend
    return caught.value


def test_what_was_written_is_read_and_each_line_names_the_one_before(tmp_path: Path) -> None:
    found = read_chain(written(tmp_path))
    assert [line["why"] for line in found] == WHY
    assert [line["previous"] for line in found] == ["", *(line["hash"] for line in found[:-1])]


def test_a_hash_is_the_sha_256_of_the_line_without_it_as_anybody_can_compute(tmp_path: Path) -> None:
    for line in written(tmp_path).read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        hashed = fields.pop("hash")
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == hashed


def test_an_altered_line_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("因为更好", "因为更坏"), encoding="utf-8")
    error = refused(path)
    assert error.where == f"{path}:2"
    assert "its hash is not that of what it says" in error.what


def test_a_line_altered_with_its_own_hash_breaks_the_one_after(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    fields = json.loads(lines[1])
    fields["why"] = "forged"
    del fields["hash"]
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    fields["hash"] = hashlib.sha256(text.encode()).hexdigest()
    lines[1] = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    error = refused(path)
    assert error.where == f"{path}:3"
    assert "a line before this one was altered" in error.what


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_line_that_was_removed_is_missed(gone: int, tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    del lines[gone]
    path.write_text("".join(lines), encoding="utf-8")
    assert ("at the end of the log" if gone == 3 else "before this one") in refused(path).what


def test_two_lines_that_changed_places_are_found(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[2], lines[1], lines[3]]), encoding="utf-8")
    assert refused(path).where == f"{path}:2"


def test_a_log_that_is_gone_is_missed(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    assert "at the end of the log are missing" in refused(path).what


def test_a_head_that_is_gone_is_missed(tmp_path: Path) -> None:
    path = written(tmp_path)
    head_path(path).unlink()
    assert "log.jsonl.head is missing" in refused(path).what


def test_a_kill_between_line_and_head_harms_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    head = head_path(path).read_text(encoding="utf-8")
    append_chain(path, {"why": "fifth"})
    head_path(path).write_text(head, encoding="utf-8")
    assert len(read_chain(path)) == 5
    append_chain(path, {"why": "sixth"})
    assert [line["why"] for line in read_chain(path)] == [*WHY, "fifth", "sixth"]


def test_a_line_cut_off_does_not_count_is_told_and_is_written_over(tmp_path: Path, told: list[Event]) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"why": "ha')
    assert len(read_chain(path, told.append)) == 4
    assert [str(path) in event.what for event in told if isinstance(event, Warned)] == [True]
    append_chain(path, {"why": "fifth"})
    assert path.read_bytes().startswith(whole)
    assert [line["why"] for line in read_chain(path)] == [*WHY, "fifth"]


@pytest.mark.parametrize("line", ["not json", "[]", "3", '{"why": "x"}', "\\ud800", '{"previous": "", "hash": 5}'])
def test_what_is_no_line_is_named_with_its_number(line: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    assert refused(path).where == f"{path}:5"


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_byte_can_be_changed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("chain") / "log.jsonl"
    for why in WHY[:2]:
        append_chain(path, {"why": why})
    text = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(text) - 2))  # the last end of line aside: that is a line cut off
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[place]))
    text[place] = byte
    path.write_bytes(bytes(text))
    refused(path)
