"""Rows of text: to continue, to classify, to extract from."""

from typing import Any

import pytest

from luthier.artifact.example import Example, Message
from luthier.event import Chose, Event, hush
from luthier.prepare.fault import Fault
from luthier.prepare.forms import recognise
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec


def read(*rows: dict[str, Any], **settings: Any) -> list[Example | Fault]:
    form = recognise(Row("a.json:1", rows[0]), SetSpec(source="a.json", **settings), SplitSpec(), hush)
    return [form.read(Row(f"a.json:{number}", row)) for number, row in enumerate(rows, 1)]


def labels(*rows: dict[str, Any], **settings: Any) -> list[object]:
    return [one.label if isinstance(one, Example) else one.reason for one in read(*rows, **settings)]


def test_a_text_is_kept_as_it_is() -> None:
    good, empty = read({"body": " a\n b "}, {"body": " "}, columns=ColumnsSpec(text="body"), form="text")
    assert isinstance(good, Example)
    assert (good.texts, good.messages, good.task) == ((" a\n b ",), (), "text")
    assert isinstance(empty, Fault)
    assert (empty.reason, empty.what) == ("empty text", "body is empty")
    assert empty.mend.startswith("fill it in")


def test_a_text_or_a_pair_of_them_is_classified() -> None:
    (one,) = read({"sentence": "good", "label": "up"})
    (pair,) = read({"sentence1": "a", "sentence2": "b", "label": 0})
    (named,) = read({"x": "a", "y": "b", "z": "c"}, columns=ColumnsSpec(text="x", second_text="y", label="z"))
    assert [(e.texts, e.label, e.task) for e in (one, pair, named) if isinstance(e, Example)] == [
        (("good",), "up", "classification"),
        (("a", "b"), "0", "classification"),
        (("a", "b"), "c", "classification"),
    ]


def test_a_number_with_a_point_anywhere_makes_numbers_of_all_and_a_name_makes_classes(told: list[Event]) -> None:
    def form_of(*given: object) -> Chose:
        rows = [Row(f"a.csv:{number}", {"text": "t", "label": label}) for number, label in enumerate(given, 2)]
        recognise(rows[0], SetSpec(source="a.csv"), SplitSpec(), told.append, rows[1:])
        assert isinstance(told[-1], Chose)
        return told[-1]

    assert form_of(5, 4, 3.5) == Chose("label", "number", "label is 3.5 at a.csv:4, and a number in each row")
    assert form_of("5", "", "3.5").value == "number"
    assert form_of("5", "3.5", "high") == Chose("label", "class", "label is 'high' at a.csv:4")
    assert form_of(5, 4) == Chose("label", "class", "label is a whole number in each row")
    assert form_of("high", "5") == Chose("label", "class", "the first label is 'high'")
    assert form_of(True, 4).value == "class"
    assert form_of(["a"], 4).value == "several classes"


def test_the_first_label_says_whether_all_are_classes_or_numbers_and_it_is_told(told: list[Event]) -> None:
    def row(label: object) -> dict[str, Any]:
        return {"text": "t", "label": label}

    assert labels(row(1), row(0), row("2"), row(1.0)) == ["1", "0", "2", "1"]
    assert labels(row(True), row(False)) == ["true", "false"]
    assert labels(row(3.5), row(5), row("4.25")) == [3.5, 5.0, 4.25]
    assert labels(row("3.5"), row("5")) == [3.5, 5.0]
    assert labels(row(["b", "a", "b"]), row([]), row(["c"])) == [("a", "b"), (), ("c",)]
    assert labels(row('["b", "a"]')) == [("a", "b")]
    recognise(Row("a.json:1", row(3.5)), SetSpec(source="a.json"), SplitSpec(), told.append)
    assert told[1] == Chose("label", "number", "the first label is 3.5")


def test_labels_of_two_kinds_in_a_file_are_faults_with_a_mend() -> None:
    def row(label: object) -> dict[str, Any]:
        return {"text": "t", "label": label}

    for first, other in ((5, 3.5), (5, ["a"]), (3.5, "high"), (["a"], "a"), (3.5, float("nan"))):
        fault = read(row(first), row(other))[1]
        assert isinstance(fault, Fault)
        assert (fault.reason, fault.where) == ("label of another kind", "a.json:2")
        assert fault.mend
    assert labels(row("a"), row(None), row(" ")) == ["a", "no label", "no label"]


def test_json_with_its_names_in_order_is_the_answer_of_an_extraction() -> None:
    (example,) = read({"text": "Anna, 5", "json": {"name": "安娜", "age": 5}, "system": "Give JSON."})
    assert isinstance(example, Example)
    assert example.messages == (
        Message("system", "Give JSON."),
        Message("user", "Anna, 5"),
        Message("assistant", '{"age": 5, "name": "安娜"}'),
    )
    (written,) = read({"text": "Anna, 5", "json": '{"name": "安娜", "age": 5}'})
    assert isinstance(written, Example)
    assert written.messages[-1] == example.messages[-1]
    (alpaca,) = read({"instruction": "Who?", "input": "Anna", "output": [{"name": "Anna"}]})
    assert isinstance(alpaca, Example)
    assert alpaca.messages == (Message("user", "Who?\nAnna"), Message("assistant", '[{"name": "Anna"}]'))


@pytest.mark.parametrize("value", ["no JSON", 5, None, {"a": float("inf")}])
def test_what_is_no_json_cannot_be_extracted(value: object) -> None:
    fault = read({"text": "a", "json": {}}, {"text": "a", "json": value})[1]
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.where) == ("not JSON", "a.json:2")
    assert fault.mend
