"""Files to unique examples, and the counts of what was left out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.example import Message
from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare.gather import Gathered, gather
from luthier.prepare.source import Source
from luthier.prepare.spec import ColumnsSpec, HoldOutSpec, PrepareSpec, SplitSpec

PAIR = ColumnsSpec(user="q", assistant="a")
GROUPED = ColumnsSpec(user="q", assistant="a", group="g", tag="t")


def run(folder: Path, rows: list[Any] | str, spec: PrepareSpec, name: str = "a.json") -> Gathered:
    text = rows if isinstance(rows, str) else json.dumps(rows, indent=0)
    (folder / name).write_text(text, encoding="utf-8")
    return gather(spec, [Source(folder / name, name)], hush)


def test_a_csv_with_a_column_map_and_a_filter_becomes_examples(tmp_path: Path) -> None:
    text = 'title,reply,is_best\n"What, now?",Wait.,1\nWhat now?,Go!,0\n价格？,五元,1\n'
    spec = PrepareSpec(columns=ColumnsSpec(user="title", assistant="reply"), where={"is_best": 1})
    found = run(tmp_path, text, spec, "a.csv")
    assert [(c.example.messages, c.example.source) for c in found.candidates] == [
        ((Message("user", "What, now?"), Message("assistant", "Wait.")), "a.csv:2"),
        ((Message("user", "价格？"), Message("assistant", "五元")), "a.csv:4"),
    ]
    assert found.dropped == {"filtered out": 1}
    (source,) = found.sources
    data = text.encode()
    assert source == {
        "path": "a.csv",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": 3,
    }


def test_system_prompts_come_from_the_row_else_from_the_spec(tmp_path: Path) -> None:
    rows = [{"q": "1", "a": "1", "s": "own"}, {"q": "2", "a": "2", "s": " "}, {"q": "3", "a": "3"}]
    columns = ColumnsSpec(user="q", assistant="a", system="s")
    found = run(tmp_path, rows, PrepareSpec(columns=columns, system="given"))
    assert [c.example.messages[0].content for c in found.candidates] == ["own", "given", "given"]


def test_a_column_called_system_is_read_in_known_forms_but_not_among_plain_columns(tmp_path: Path) -> None:
    alpaca = run(tmp_path, [{"instruction": "1", "output": "1", "system": "be kind"}], PrepareSpec())
    assert alpaca.candidates[0].example.messages[0] == Message("system", "be kind")
    plain = run(tmp_path, [{"q": "1", "a": "1", "system": "Android"}], PrepareSpec(columns=PAIR))
    assert plain.candidates[0].example.messages[0] == Message("user", "1")


def test_identical_examples_are_kept_once_and_counted(tmp_path: Path) -> None:
    rows = [{"q": "1", "a": "1"}, {"q": "1", "a": "2"}, {"q": "1", "a": "1"}]
    found = run(tmp_path, rows, PrepareSpec(columns=PAIR))
    assert [c.example.source for c in found.candidates] == ["a.json:2", "a.json:6"]
    assert len({c.example.id for c in found.candidates}) == 2
    assert found.dropped == {"duplicate": 1}


def test_which_of_two_duplicates_stays_does_not_hang_on_their_order(tmp_path: Path) -> None:
    one, other = {"q": "1", "a": "1", "g": "x", "t": ""}, {"q": "1", "a": "1", "g": "b", "t": "z"}
    spec = PrepareSpec(columns=GROUPED)
    found = [run(tmp_path, rows, spec).candidates for rows in ([one, other], [other, one])]
    assert [[(c.example.group, c.example.tag) for c in candidates] for candidates in found] == [[("b", "z")]] * 2


def test_held_out_rows_carry_the_tag_and_win_over_their_duplicates(tmp_path: Path) -> None:
    split = SplitSpec(by="group", hold_out=HoldOutSpec(where={"phrasing": "reworded"}, tag="recall"))
    rows = [
        {"q": "1", "a": "1", "g": "a", "phrasing": "plain"},
        {"q": "1", "a": "1", "g": "b", "phrasing": "reworded"},
        {"q": "2", "a": "2", "g": "a", "phrasing": "plain", "t": "own"},
    ]
    found = run(tmp_path, rows, PrepareSpec(columns=GROUPED, split=split))
    assert [(c.is_held, c.example.tag) for c in found.candidates] == [(True, "recall"), (False, "own")]


def test_bad_rows_stop_with_file_and_line_or_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [{"q": "1", "a": "1"}, {"q": "2", "a": ""}, 5, {"q": "3"}, {"q": "", "a": "4"}]
    with pytest.raises(DataError) as caught:
        run(tmp_path, rows, PrepareSpec(columns=PAIR))
    assert caught.value.what == "the answer is empty"
    assert caught.value.where == "a.json:6"
    assert caught.value.mend == "fill it in, or set bad_rows=drop"
    found = run(tmp_path, rows, PrepareSpec(columns=PAIR, bad_rows="drop"))
    assert len(found.candidates) == 1
    assert found.dropped == {"no answer": 2, "not an object": 1, "empty turn": 1}


def test_a_row_without_its_group_is_bad_when_groups_decide_the_split(tmp_path: Path) -> None:
    rows = [{"q": "1", "a": "1", "g": 7}, {"q": "2", "a": "2"}]
    with pytest.raises(DataError) as caught:
        run(tmp_path, rows, PrepareSpec(columns=GROUPED, split=SplitSpec(by="group")))
    assert caught.value.what == "g is empty"
    assert caught.value.where == "a.json:7"
    assert "split.by=content" in caught.value.mend
    assert [c.example.group for c in run(tmp_path, rows, PrepareSpec(columns=GROUPED)).candidates] == ["7", ""]


def test_a_group_that_is_no_text_is_bad(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, [{"q": "1", "a": "1", "g": {}}], PrepareSpec(columns=GROUPED))
    assert caught.value.what == "g is {}, not text"


@pytest.mark.parametrize(
    ("rows", "spec", "what", "mend"),
    [
        ("q,a\n", PrepareSpec(columns=PAIR), "there are no rows", "put rows into the file"),
        ("[]", PrepareSpec(columns=PAIR), "there are no rows", "put rows into the file"),
        (
            [{"q": "1", "a": "1"}],
            PrepareSpec(columns=PAIR, where={"q": 2}),
            "of 1 rows none is left (1 filtered out)",
            "loosen where",
        ),
        (
            [{"q": "1", "a": "1"}],
            PrepareSpec(columns=PAIR, where={"qq": 1}),
            "of 1 rows none is left (1 filtered out)",
            "where.qq names no column; there are: 'q', 'a'",
        ),
        (
            [{"q": "1", "a": ""}],
            PrepareSpec(columns=PAIR, bad_rows="drop"),
            "of 1 rows none is left (1 no answer)",
            "mend the rows that were dropped",
        ),
    ],
)
def test_no_rows_left_says_why(tmp_path: Path, rows: list[Any] | str, spec: PrepareSpec, what: str, mend: str) -> None:
    name = "a.csv" if rows == "q,a\n" else "a.json"
    with pytest.raises(DataError) as caught:
        run(tmp_path, rows, spec, name)
    assert caught.value.what == what
    assert caught.value.where == name
    assert mend in caught.value.mend
