"""Files to facts and shards, and the counts of what was left out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.example import Example, Message
from luthier.artifact.store import Artifact
from luthier.errors import DataError, SpecError
from luthier.event import hush
from luthier.prepare.facts import Flag
from luthier.prepare.gather import Gathered, gather
from luthier.prepare.source import Source
from luthier.prepare.spec import ColumnsSpec, HoldOutSpec, PrepareSpec, SetSpec, SplitSpec
from luthier.prepare.worker import Setup

PAIR = ColumnsSpec(user="q", assistant="a")
GROUPED = ColumnsSpec(user="q", assistant="a", group="g", tag="t")


Run = Callable[..., Gathered]


@pytest.fixture
def run(tmp_path: Path, tiny_model: Artifact, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def gathered(
        rows: list[Any] | str, spec: PrepareSpec, name: str = "a.json", more: Sequence[Source] = (), **asked: Any
    ) -> Gathered:
        text = rows if isinstance(rows, str) else json.dumps(rows, indent=0)
        (tmp_path / name).write_text(text, encoding="utf-8")
        shards = tmp_path / "shards"
        shards.mkdir(exist_ok=True)
        setup = Setup(spec, spec.all_sets((name,)), tiny_model.folder, shards)
        return gather(setup, [[Source(tmp_path / name, name)], *([one] for one in more)], hush, **asked)

    return gathered


def examples(found: Gathered) -> list[Example]:
    return [found.example(row) for row in range(len(found.facts))]


def test_a_csv_with_a_column_map_and_a_filter_becomes_examples(run: Run) -> None:
    text = 'title,reply,is_best\n"What, now?",Wait.,1\nWhat now?,Go!,0\n价格？,五元,1\n'
    spec = PrepareSpec(columns=ColumnsSpec(user="title", assistant="reply"), where={"is_best": 1})
    found = run(text, spec, "a.csv")
    assert [(example.messages, example.source) for example in examples(found)] == [
        ((Message("user", "What, now?"), Message("assistant", "Wait.")), "a.csv:2"),
        ((Message("user", "价格？"), Message("assistant", "五元")), "a.csv:4"),
    ]
    assert found.dropped.counts == {"filtered out": 1}
    assert found.dropped.first == {"filtered out": [("a.csv:3", "not among the rows that are asked for")]}
    (source,) = found.sources
    data = text.encode()
    wanted = hashlib.sha256(data).hexdigest()
    assert source == {"path": "a.csv", "bytes": len(data), "sha256": wanted, "rows": 3}


def test_system_prompts_come_from_the_row_else_from_the_spec(run: Run) -> None:
    rows = [{"q": "1", "a": "1", "s": "own"}, {"q": "2", "a": "2", "s": " "}, {"q": "3", "a": "3"}]
    columns = ColumnsSpec(user="q", assistant="a", system="s")
    found = run(rows, PrepareSpec(columns=columns, system="given"))
    assert [example.messages[0].content for example in examples(found)] == ["own", "given", "given"]


def test_a_column_called_system_is_read_in_known_forms_but_not_among_plain_columns(run: Run) -> None:
    alpaca = run([{"instruction": "1", "output": "1", "system": "be kind"}], PrepareSpec())
    assert examples(alpaca)[0].messages[0] == Message("system", "be kind")
    plain = run([{"q": "1", "a": "1", "system": "Android"}], PrepareSpec(columns=PAIR))
    assert examples(plain)[0].messages[0] == Message("user", "1")


def test_held_out_rows_carry_the_tag(run: Run) -> None:
    split = SplitSpec(by="group", hold_out=HoldOutSpec(where={"phrasing": "reworded"}, tag="recall"))
    rows = [
        {"q": "1", "a": "1", "g": "b", "phrasing": "reworded"},
        {"q": "2", "a": "2", "g": "a", "phrasing": "plain", "t": "own"},
    ]
    found = run(rows, PrepareSpec(columns=GROUPED, split=split))
    assert [example.tag for example in examples(found)] == ["recall", "own"]
    assert (found.facts["flags"] & Flag.HELD).astype(bool).tolist() == [True, False]
    assert [found.tags[number] for number in found.facts["tag"]] == ["recall", "own"]


def test_bad_rows_stop_with_file_and_line_or_are_counted_by_reason(run: Run) -> None:
    rows = [{"q": "1", "a": "1"}, {"q": "2", "a": ""}, 5, {"q": "3"}, {"q": "", "a": "4"}]
    with pytest.raises(DataError) as caught:
        run(rows, PrepareSpec(columns=PAIR))
    assert caught.value.what == "the answer is empty"
    assert caught.value.where == "a.json:6"
    assert caught.value.mend == "fill it in, or set bad_rows=drop"
    found = run(rows, PrepareSpec(columns=PAIR, bad_rows="drop"))
    assert len(found.facts) == 1
    assert found.dropped.counts == {"no answer": 2, "not an object": 1, "empty turn": 1}
    assert [where for where, _ in found.dropped.first["no answer"]] == ["a.json:6", "a.json:11"]


def test_lint_counts_bad_rows_whatever_the_spec_says(run: Run) -> None:
    found = run([{"q": "1", "a": "1"}, {"q": "2", "a": ""}], PrepareSpec(columns=PAIR), is_lint=True)
    assert found.dropped.counts == {"no answer": 1}


def test_the_first_bad_row_is_the_one_that_is_told_wherever_it_was_found_out(run: Run, tiny_model: Artifact) -> None:
    forged = {"q": "<|im_end|>", "a": "found out when it is rendered"}
    with pytest.raises(DataError) as caught:
        run([{"q": "1", "a": "1"}, forged, {"q": "2", "a": ""}], PrepareSpec(columns=PAIR))
    assert caught.value.where == "a.json:6"
    assert caught.value.what == "the user's text holds '<|im_end|>', which would end or open a turn"


def test_rows_before_a_cut_are_told_before_the_cut(run: Run) -> None:
    cut = '[{"q": "1", "a": "1"},\n{"q": "2", "a": ""},\n{"q": "3", "a'
    with pytest.raises(DataError) as caught:
        run(cut, PrepareSpec(columns=PAIR))
    assert caught.value.what == "the answer is empty"
    with pytest.raises(DataError) as cut_off:
        run(cut, PrepareSpec(columns=PAIR, bad_rows="drop"))
    assert "cut off" in cut_off.value.what


def test_a_fact_says_where_its_row_stands_how_long_it_is_and_what_it_is_known_by(run: Run) -> None:
    rows = [{"q": f"What is {n}?", "a": f"It is {n}.", "g": "x"} for n in range(3)]
    found = run(rows, PrepareSpec(columns=GROUPED, split=SplitSpec(seed=4)))
    assert len(found.facts) == 3
    for row, fact in enumerate(found.facts):
        example, (tokens, rejected) = found.example(row), found.tokens(row)
        assert found.place(row) == example.source
        assert fact["tokens"] == len(tokens.ids)
        assert fact["supervised"] == tokens.supervised
        assert len(rejected.ids) == 0
        assert fact["characters"] == len(f"What is {row}?It is {row}.")
        assert fact["answer"] == len(f"It is {row}.")
        assert f"{fact['id']:016x}" == example.id
        whole = hashlib.sha256(f"order 4 {example.id}".encode()).hexdigest()
        assert f"{fact['place']:016x}" == whole[:16]
    assert len(set(found.facts["group"].tolist())) == 1


def test_rows_of_two_tasks_are_not_put_together(run: Run) -> None:
    rows = [
        {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "1"}], "label": True},
    ]
    pair = {"prompt": "2", "chosen": "yes", "rejected": "no"}
    spec = PrepareSpec(sets=(SetSpec(source="a.json", form="kto"), SetSpec(source="b.json")))
    Path("b.json").write_text(json.dumps([pair]), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        run(rows, spec, more=[Source(Path("b.json"), "b.json")])
    assert caught.value.what == "rows of two kinds are put together: kto at a.json:2, preference at b.json:1"
    assert caught.value.where == "key source"
    assert "prepare each kind of rows by itself" in caught.value.mend


def test_a_row_of_another_form_than_the_first_says_which_column_it_has_not(run: Run) -> None:
    with pytest.raises(DataError) as caught:
        run([{"text": "a tone", "label": "good"}, {"instruction": "1", "output": "2"}], PrepareSpec())
    assert caught.value.what == "text is empty: the row has no column 'text', as rows of classification have"
    assert caught.value.where == "a.json:6"
    with pytest.raises(DataError) as caught:
        run([{"q": "1", "a": "1"}, {"q": "2", "answer": "2"}], PrepareSpec(columns=PAIR))
    assert caught.value.what == "the answer is empty: the row has no column 'a', as rows of columns have"


def test_a_row_without_its_group_is_bad_when_groups_decide_the_split(run: Run) -> None:
    rows = [{"q": "1", "a": "1", "g": 7}, {"q": "2", "a": "2"}]
    spec = PrepareSpec(columns=GROUPED, split=SplitSpec(by="group"))
    with pytest.raises(DataError) as caught:
        run(rows, spec)
    assert caught.value.what == "there is no column 'g'"
    assert caught.value.where == "a.json:7"
    assert caught.value.mend.startswith("name one of those there are: 'q', 'a'; or set split.by=content")
    with pytest.raises(DataError) as caught:
        run([rows[0], {"q": "2", "a": "2", "g": ""}], spec)
    assert caught.value.what == "g is empty"
    assert "split.by=content" in caught.value.mend
    assert [example.group for example in examples(run(rows, PrepareSpec(columns=GROUPED)))] == ["7", ""]


def test_a_group_that_is_no_text_is_bad(run: Run) -> None:
    with pytest.raises(DataError) as caught:
        run([{"q": "1", "a": "1", "g": {}}], PrepareSpec(columns=GROUPED))
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
def test_no_rows_left_says_why(run: Run, rows: list[Any] | str, spec: PrepareSpec, what: str, mend: str) -> None:
    name = "a.csv" if rows == "q,a\n" else "a.json"
    with pytest.raises(DataError) as caught:
        run(rows, spec, name)
    assert caught.value.what == what
    assert caught.value.where == name
    assert mend in caught.value.mend
