"""Rows in lists inside other objects, and several in one line: read without a map, each known by its line."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.example import SPLITS, Example, read_examples
from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, SpecError
from luthier.event import Chose, Event, Warned, hush
from luthier.prepare.batch_forms import formed_batches
from luthier.prepare.nested import find_nests
from luthier.prepare.run import prepare
from luthier.prepare.source import find_sources
from luthier.prepare.spec import ColumnsSpec, HoldOutSpec, PrepareSpec, SetSpec, SplitSpec


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def examples(made: Artifact) -> list[Example]:
    """Give all examples in the order of their questions."""
    found = [example for split in SPLITS for example in read_examples(made.folder, split)]
    return sorted(found, key=lambda example: example.messages[0].content if example.messages else example.texts[0])


def question(name: str, *answers: str) -> dict[str, Any]:
    found = [{"text": text, "answer_start": 0} for text in answers]
    return {"id": name, "question": f"What is {name}?", "answers": found}


SQUAD = {
    "version": "2.0",
    "data": [
        {
            "title": "Strings",
            "paragraphs": [
                {"context": "Gut, then steel.", "qas": [question("a", "Gut", "Gut,"), question("b", "Steel")]},
                {"context": "Nylon came later.", "qas": []},
            ],
        },
        {"title": "Bows", "paragraphs": [{"context": "Of pernambuco.", "qas": [question("c", "Pernambuco")]}]},
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_becomes_a_row_for_each_question_with_its_context(
    indent: int | None, store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    Path("squad.json").write_text(json.dumps(SQUAD, indent=indent))
    columns = ColumnsSpec(group="context", tag="title")
    spec = PrepareSpec(source="squad.json", columns=columns, split=SplitSpec(by="group"))
    made = prepare(spec, tiny_model, None, store, told.append)
    found = examples(made)
    assert [[message.content for message in example.messages] for example in found] == [
        ["Gut, then steel.\n\nWhat is a?", "Gut"],
        ["Gut, then steel.\n\nWhat is b?", "Steel"],
        ["Of pernambuco.\n\nWhat is c?", "Pernambuco"],
    ]
    assert [example.tag for example in found] == ["Strings", "Strings", "Bows"]
    assert made.card.figures["rows"] == {"read": 3, "kept": 3}
    lines = json.dumps(SQUAD, indent=indent).split("\n")
    begins = [number for number, line in enumerate(lines, 1) if line == "  {"] if indent else [1, 1]
    assert [example.source for example in found] == [f"squad.json:{begins[0]}"] * 2 + [f"squad.json:{begins[1]}"]
    assert [event for event in told if isinstance(event, Chose) and event.what in ("rows", "form")] == [
        Chose("rows", "data", "squad.json is one object, and its list of objects has this name"),
        Chose("rows", "paragraphs.qas", "squad.json has its rows in lists, each with what stands around it"),
        Chose("form", "reading", "squad.json has answers and question and context"),
    ]


def test_a_question_without_an_answer_is_a_bad_row_with_its_line(store: Store, tiny_model: Artifact) -> None:
    rows = [{"context": "Gut.", "qas": [question("a", "Gut"), {**question("b"), "is_impossible": True}]}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="the question has none") as caught:
        prepare(PrepareSpec(source="rows.jsonl"), tiny_model, None, store, hush)
    assert caught.value.where == "rows.jsonl:1"
    assert "bad_rows=drop" in caught.value.mend
    made = prepare(PrepareSpec(source="rows.jsonl", bad_rows="drop", split=ALL), tiny_model, None, store, hush)
    assert made.card.figures["dropped"] == {"no answer": 1}


ALL = SplitSpec(train=1, dev=0, test=0)


@pytest.mark.parametrize(
    "answers", [{"text": ["Gut"], "answer_start": [0]}, ["Gut"], "Gut", [{"text": "Gut"}], '{"text": ["Gut"]}']
)
def test_answers_are_read_as_they_are_kept(answers: object, store: Store, tiny_model: Artifact) -> None:
    row = {"context": "Gut.", "question": "Of what?", "answers": answers}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    (example,) = examples(prepare(PrepareSpec(source="rows.jsonl", split=ALL), tiny_model, None, store, hush))
    assert example.messages[-1].content == "Gut"


def pair(name: str) -> dict[str, str]:
    return {"instruction": f"{name}?", "output": f"{name}!"}


def made_of(text: str, store: Store, model: Artifact, told: list[Event], name: str, **more: Any) -> Sequence[Example]:
    Path(name).write_text(text)
    return examples(prepare(PrepareSpec(source=name, split=ALL, **more), model, None, store, told.append))


def test_two_lists_in_one_object_are_read_and_the_other_is_told(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    whole = {"authors": [{"name": "Anna"}], "train": [pair("a"), pair("b")], "test": [pair("c")]}
    found = made_of(json.dumps(whole, indent=1), store, tiny_model, told, "rows.json")
    assert [example.messages[0].content for example in found] == ["a?", "b?", "c?"]
    warned = [event for event in told if isinstance(event, Warned)]
    assert "the list 'authors' of rows.json is left out: the rows are of no known form" in warned[0].what
    assert "the rows of the list 'test' of rows.json are dealt into all splits" in warned[1].what
    assert warned[1].mend == "where._list=train reads one list alone"
    alone = made_of(json.dumps(whole), store, tiny_model, told, "rows.json", where={"_list": "train"})
    assert [example.messages[0].content for example in alone] == ["a?", "b?"]


def test_lists_of_which_none_has_rows_are_an_error_of_the_first(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    with pytest.raises(DataError, match="of no known form: their columns are 'name'") as caught:
        made_of('{"authors": [{"name": "Anna"}],\n"places": [{"at": 1}]}', store, tiny_model, told, "rows.json")
    assert caught.value.where == "rows.json:1"


def test_two_lists_inside_each_row_are_both_read(store: Store, tiny_model: Artifact, told: list[Event]) -> None:
    lines = [
        {"system": "Be short.", "easy": [], "hard": None},
        {"system": "Be short.", "easy": [pair("a"), pair("b")], "hard": [pair("c")]},
        {"system": "Be long.", "hard": [pair("d")]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    found = made_of(text, store, tiny_model, told, "rows.jsonl", columns=ColumnsSpec(tag="_list"))
    assert [[message.content for message in example.messages[:2]] for example in found] == [
        ["Be long.", "d?"],
        ["Be short.", "a?"],
        ["Be short.", "b?"],
        ["Be short.", "c?"],
    ]
    assert [(example.tag, example.source) for example in found] == [
        ("hard", "rows.jsonl:3"),
        ("easy", "rows.jsonl:2"),
        ("easy", "rows.jsonl:2"),
        ("hard", "rows.jsonl:2"),
    ]
    why = "rows.jsonl has its rows in lists, each with what stands around it; _list says which"
    assert Chose("rows", "easy and hard", why) in told


@pytest.mark.parametrize(
    "line", [json.dumps([pair("b"), pair("c")]), json.dumps(pair("b")) + " " + json.dumps(pair("c"))]
)
def test_several_rows_in_one_line_are_rows_of_that_line(
    line: str, store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    text = f"{json.dumps(pair('a'))}\n{line}\n{json.dumps([pair('d')])}\n"
    found = made_of(text, store, tiny_model, told, "rows.jsonl")
    assert [(example.messages[0].content, example.source) for example in found] == [
        ("a?", "rows.jsonl:1"),
        ("b?", "rows.jsonl:2"),
        ("c?", "rows.jsonl:2"),
        ("d?", "rows.jsonl:3"),
    ]
    assert Chose("rows", "several on a line", "rows.jsonl:2 holds more than one") in told


def test_a_row_without_the_lists_of_the_others_is_a_bad_row(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    for other, what in (({"x": 1}, "there is no list 'items'"), ({"items": "none"}, "items is 'none', not a list of")):
        text = json.dumps({"items": [pair("a")]}) + "\n" + json.dumps(other) + "\n"
        with pytest.raises(DataError, match=what) as caught:
            made_of(text, store, tiny_model, told, "rows.jsonl")
        assert caught.value.where == "rows.jsonl:2"
        assert caught.value.mend


def test_a_form_that_is_asked_for_is_looked_for_inside(store: Store, tiny_model: Artifact, told: list[Event]) -> None:
    text = json.dumps({"text": "about", "items": [pair("a")]})
    assert [one.task for one in made_of(text, store, tiny_model, told, "rows.jsonl")] == ["text"]
    assert [one.task for one in made_of(text, store, tiny_model, told, "rows.jsonl", form="alpaca")] == ["chat"]
    columns = ColumnsSpec(user="instruction", assistant="output")
    assert [one.task for one in made_of(text, store, tiny_model, told, "rows.jsonl", columns=columns)] == ["chat"]


def test_lists_that_belong_to_a_row_and_lists_too_deep_are_no_rows() -> None:
    def fits(data: dict[str, Any]) -> bool:
        return "q" in data

    assert find_nests({"messages": [{"q": 1}], "tools": [{"q": 1}]}, fits) == []
    deep: dict[str, Any] = {"q": 1}
    for _ in range(4):
        deep = {"in": [deep]}
    assert find_nests(deep, fits) == [("in",) * 4]
    assert find_nests({"in": [deep]}, fits) == []


def numbered(labels: Sequence[object]) -> str:
    return "".join(json.dumps({"text": f"text {number}", "label": label}) + "\n" for number, label in enumerate(labels))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_label_far_down_the_file_says_what_all_are(
    processes: int, store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    whole = [number % 5 for number in range(700)]
    for last, kind in ((3.5, float), (7, str), ("high", str)):
        Path("rows.jsonl").write_text(numbered([*whole, last]))
        spec = PrepareSpec(source="rows.jsonl", split=ALL)
        made = prepare(spec, tiny_model, None, store, told.append, processes=processes)
        assert {type(example.label) for example in examples(made)} == {kind}
    told_of = [event.value for event in told if isinstance(event, Chose) and event.what == "label"]
    assert told_of == ["number", "class", "class"]


def test_rows_are_read_with_what_stands_beside_their_list(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    whole = {"system": "Be short.", "data": [pair("a"), {**pair("b"), "system": "Be long."}], "part": "woods"}
    text = json.dumps(whole, indent=1)
    found = made_of(text, store, tiny_model, told, "rows.json", columns=ColumnsSpec(tag="part"))
    assert [[message.content for message in example.messages[:2]] for example in found] == [
        ["Be long.", "b?"],
        ["Be short.", "a?"],
    ]
    assert [example.tag for example in found] == ["woods", "woods"]


def test_a_list_that_has_nothing_of_a_form_but_what_stands_beside_it_is_left_out(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    whole = {"text": "About violins.", "authors": [{"name": "Anna"}], "data": [pair("a")]}
    found = made_of(json.dumps(whole), store, tiny_model, told, "rows.json")
    assert [example.messages[0].content for example in found] == ["a?"]
    (warned,) = [event for event in told if isinstance(event, Warned) and "authors" in event.what]
    assert "its rows have nothing of the form text but what stands beside the list" in warned.what
    assert "columns.*" in warned.mend
    with pytest.raises(DataError, match="nothing of the form text") as caught:
        made_of('{"text": "About.", "authors": [{"name": "Anna"}]}', store, tiny_model, told, "alone.json")
    assert caught.value.where == "alone.json:1"


OTHERS = "what else is to be read must be named in columns, where or map"


def talk(name: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"{name}?"}, {"role": "assistant", "content": f"{name}!"}]}


@pytest.mark.parametrize(
    ("beside", "row"),
    [
        ({"input": "dir/x"}, pair),
        ({"history": "story of the set"}, pair),
        ({"label": 1}, pair),
        ({"tools": ["hammer"]}, talk),
        ({"label": "v1"}, lambda name: {"text": f"About {name}."}),
    ],
)
def test_what_stands_beside_rows_that_have_a_form_of_their_own_changes_neither_form_nor_text(
    beside: dict[str, Any], row: Callable[[str], dict[str, Any]], store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    rows = [row("a"), row("b")]
    for whole in ({**beside, "data": rows}, {"data": rows, **beside}):
        found = made_of(json.dumps(whole), store, tiny_model, told, "whole.json")
        alone = made_of(json.dumps(rows), store, tiny_model, told, "rows.json")
        assert len(alone) == 2
        assert [one.id for one in found] == [one.id for one in alone]
        (name,) = beside
        why = f"whole.json has {name!r} beside its list data; {OTHERS}"
        assert Chose("columns all rows have", "none", why) in told
        told.clear()


def test_a_column_beside_rows_is_read_where_the_spec_names_it(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    whole = {"part": "woods", "source": "book", "n": 3, "data": [{"text": "a", "by": "x"}, {"text": "b", "by": "y"}]}
    text = json.dumps(whole)

    def made(**more: Any) -> list[Example]:
        return list(made_of(text, store, tiny_model, told, "rows.json", **more))

    assert [one.label for one in made(columns=ColumnsSpec(label="part"))] == ["woods", "woods"]
    assert [one.tag for one in made(columns=ColumnsSpec(tag="source"))] == ["book", "book"]
    assert len(made(where={"part": "woods"})) == 2
    texts = {"prompt": "{{ source }} {% for one in [n] %}{{ one }}{% endfor %} {{ text }}", "completion": "{{ by }}"}
    assert [one.messages[0].content for one in made(map=texts)] == ["book 3 a", "book 3 b"]
    hold_out = HoldOutSpec(where={"part": "woods"}, tag="held")
    split = SplitSpec(train=1, dev=0, test=0, by="group", hold_out=hold_out)
    with pytest.raises(DataError, match="2 held out, its group is not trained on"):
        prepare(
            PrepareSpec(source="rows.json", split=split, columns=ColumnsSpec(group="by")), tiny_model, None, store, hush
        )


def test_what_makes_the_form_of_rows_that_have_none_goes_into_them_and_nothing_else(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    rows = [{"question": f"{name}?", "answers": [name]} for name in "ab"]
    whole = {"context": "Gut.", "system": "Be short.", "tools": ["hammer"], "data": rows}
    found = made_of(json.dumps(whole), store, tiny_model, told, "rows.json")
    assert [[message.content for message in example.messages] for example in found] == [
        ["Be short.", "Gut.\n\na?", "a"],
        ["Be short.", "Gut.\n\nb?", "b"],
    ]
    why = f"rows.json has 'context', 'system', 'tools' beside its list data; {OTHERS}"
    assert Chose("columns all rows have", "context, system", why) in told


def test_only_what_goes_into_the_rows_travels_with_a_batch_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    rows = [pair(str(number)) for number in range(1200)]
    Path("rows.json").write_text(json.dumps({"system": "Be short.", "log": "x" * 100_000, "data": rows}))
    sources = find_sources(["rows.json"])
    batches = [batch for _, batch in formed_batches(sources[0], SetSpec(source="rows.json"), SplitSpec(), hush)]
    assert len(batches) == 3
    for batch in batches:
        assert batch.beside == {"system": "Be short."}
        assert len(pickle.dumps(batch.emptied())) < 1000
        assert batch.emptied().beside == {}


@pytest.mark.parametrize("names", [("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")])
def test_whole_numbers_are_numbers_to_predict_where_another_file_has_some_with_a_point(
    names: tuple[str, str], store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    Path("a.jsonl").write_text(numbered([1, 2, 5]))
    Path("b.jsonl").write_text(numbered([0.5, 4]).replace("text ", "b text "))
    for spec in (
        PrepareSpec(source=names, split=ALL),
        PrepareSpec(sets=tuple(SetSpec(source=name) for name in names), split=ALL),
    ):
        made = prepare(spec, tiny_model, None, store, told.append)
        assert sorted(example.label for example in examples(made) if isinstance(example.label, float)) == [
            *(0.5, 1, 2, 4, 5),
        ]
        why = "label is a whole number in each row, and b.jsonl has numbers with a point"
        assert Chose("label", "number", why) in told
        told.clear()


def test_classes_in_one_file_and_numbers_in_another_are_an_error_with_a_mend(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    Path("a.jsonl").write_text(numbered(["high", "low"]))
    Path("b.jsonl").write_text(numbered([0.5]))
    with pytest.raises(SpecError) as caught:
        prepare(PrepareSpec(source=("a.jsonl", "b.jsonl"), split=ALL), tiny_model, None, store, told.append)
    assert "classification: one at a.jsonl:1, classification: number at b.jsonl:1" in caught.value.what
    assert caught.value.mend == "write the labels of all files in one way, or prepare each kind by itself"
