"""JSON documents: every element knows its line, every break its place, and memory stays flat."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare import json_stream
from luthier.prepare.fault import Fault
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import Source


def read(folder: Path, name: str, text: str | bytes) -> list[Row | Fault]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(Source(path, name), "auto", hush))


def good(rows: list[Row | Fault]) -> list[tuple[str, object]]:
    return [(row.place, row.data) for row in rows if isinstance(row, Row)]


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


def test_nan_reads_as_nothing(tmp_path: Path) -> None:
    assert good(read(tmp_path, "a.json", '[{"q": NaN}]')) == [("a.json:1", {"q": None})]


def test_an_object_that_holds_one_list_of_objects_is_read_as_that_list_and_told(
    tmp_path: Path, told: list[Event]
) -> None:
    whole = {"version": "1", "tags": ["x"], "data": [{"q": 1}, {"q": 2}], "end": None}
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps(whole, indent=indent))
        rows = list(read_rows(Source(tmp_path / "a.json", "a.json"), "auto", told.append))
        assert [row.data["q"] for row in rows if isinstance(row, Row)] == [1, 2]
    assert set(told) == {Chose("rows", "data", "a.json is one object, and its list of objects has this name")}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("window", [3, 1 << 18])
def test_rows_have_what_stands_beside_their_list_before_and_behind_it_but_for_what_they_say_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, window: int
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", window)
    whole = {
        "lang": "en",
        "a": [{"q": 1, "lang": "zh"}, {"q": 2}],
        "n": None,
        "b": [{"q": 3}],
        "system": {"be": "kind"},
    }
    found = [data for _, data in good(read(tmp_path, "a.json", json.dumps(whole, indent=indent)))]
    beside = {"n": None, "system": {"be": "kind"}}
    assert found == [
        {"lang": "zh", **beside, "q": 1, "_list": "a"},
        {"lang": "en", **beside, "q": 2, "_list": "a"},
        {"lang": "en", **beside, "q": 3, "_list": "b"},
    ]


def test_rows_of_two_lists_of_objects_are_read_and_say_which_they_are_of(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.json", '{"a": [{"q": 1}, {"q": 2}],\n "n": [3], "b": [{"q": 4}]}')
    wanted = [("a.json:1", {"n": [3], "q": 1, "_list": "a"}), ("a.json:1", {"n": [3], "q": 2, "_list": "a"})]
    assert good(rows) == [*wanted, ("a.json:2", {"n": [3], "q": 4, "_list": "b"})]


@pytest.mark.parametrize(
    "text",
    [
        '{"messages": [{"role": "user"}], "q": 1}\n',
        '{\n "messages": [{"role": "user"}],\n "q": 1\n}',
        '{\n "q": 1, "messages": [\n{"role": "user"}]}\n{"q": 2}',
        '{"q": 1, "messages": [\n{"role": "user"}]}\n{"q": 2}',
    ],
)
def test_objects_written_over_several_lines_are_rows(tmp_path: Path, text: str) -> None:
    rows = good(read(tmp_path, "a.json", text))
    assert rows[0] == ("a.json:1", {"messages": [{"role": "user"}], "q": 1})
    assert [data for _, data in rows[1:]] == ([{"q": 2}] if text.endswith("2}") else [])


@pytest.mark.parametrize("cut", range(3, 40))
def test_an_object_cut_off_or_broken_anywhere_is_a_data_error_or_a_fault(tmp_path: Path, cut: int) -> None:
    whole = '{\n "data": [\n  {"q": 12},\n  {"q": "a"}],\n "n": 1}\n'
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.json", whole[:cut])
    assert caught.value.where.startswith("a.json:")
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{\n"a": 1 "b": 2}', "a comma or } is missing"),
        ('{\n"a" 1}', "a colon is missing"),
        ('{\n"a": 1,}', "a name in quotes is missing"),
        ('{\n"a": [{"q": 1}]}\n{"b": 1}', "something follows the object that holds the rows"),
    ],
)
def test_a_broken_object_is_named_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.json", text)
    assert caught.value.what == f"not JSON: {what}"
    assert caught.value.where.startswith(("a.json:2, column", "a.json:3, column"))
    assert caught.value.mend == "mend the line at that column"


def test_long_json_is_cut_at_every_place_of_the_window_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [{"n": -1.5e10, "t": "中\\u00e9" * n, "b": [True, None, n]} for n in range(12)]
    text = json.dumps(wanted, indent=1)
    whole = read(tmp_path, "a.json", text)
    for size in (1, 2, 3, 7, 64, 65, 130):
        monkeypatch.setattr(json_stream, "CHUNK", size)
        assert read(tmp_path, "a.json", text) == whole
        with pytest.raises(DataError) as caught:
            read(tmp_path, "a.json", text[:-1] + ", x]")
        assert caught.value.where == f"a.json:{text.count(chr(10)) + 1}, column 3"
    assert [data for _, data in good(whole)] == wanted


def test_what_was_read_before_a_break_comes_before_its_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"q": 1}, {"q": 2}, {"q" 3}]')
    rows = read_rows(Source(tmp_path / "a.json", "a.json"), "auto", hush)
    assert [next(rows), next(rows)] == [Row("a.json:1", {"q": 1}), Row("a.json:1", {"q": 2})]
    with pytest.raises(DataError, match="not JSON"):
        next(rows)


def test_reading_a_long_list_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for count in (5_000, 40_000):
        path = tmp_path / f"{count}.json.gz"
        with gzip.open(path, "wt", compresslevel=1) as file:
            file.write("[" + ",\n".join(json.dumps({"q": "x" * 400, "n": n}) for n in range(count)) + "]")
        tracemalloc.start()
        assert sum(1 for _ in read_rows(Source(path, path.name), "auto", hush)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 8_000_000
