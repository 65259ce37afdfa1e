"""The forms of rows: recognised by their columns, and checked against them."""

import pickle
from typing import Any

import pytest

from luthier.artifact.example import Example, Message
from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.fault import Fault
from luthier.prepare.forms import FORMS, Form, recognise
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, HoldOutSpec, SetSpec, SplitSpec

MAPPED = ColumnsSpec(user="title", assistant="reply")


def form_of(data: dict[str, Any], closed: bool = False, **settings: Any) -> Form:
    return recognise(Row("a.json:1", data, closed), SetSpec(source="a.json", **settings), SplitSpec(), hush)


@pytest.mark.parametrize(
    ("data", "name", "columns"),
    [
        ({"messages": []}, "messages", "messages"),
        ({"messages": [], "text": ""}, "messages", "messages"),
        ({"conversations": [], "tools": "[]"}, "conversations", "conversations"),
        ({"request": {"messages": []}, "response": {}}, "messages", "request and response"),
        ({"instruction": "", "output": ""}, "alpaca", "instruction and output"),
        ({"instruction": "", "input": "", "output": "", "history": []}, "alpaca", "instruction and output"),
        ({"instruction": "", "chosen": "", "rejected": ""}, "preference", "chosen and rejected and instruction"),
        ({"conversations": [], "chosen": {}, "rejected": {}}, "preference", "chosen and rejected and conversations"),
        ({"chosen": [], "rejected": []}, "preference", "chosen and rejected"),
        ({"messages": [], "label": True}, "kto", "label and messages"),
        ({"prompt": "", "completion": "", "label": False}, "kto", "label and prompt and completion"),
        ({"conversations": [], "kto_tag": True}, "kto", "kto_tag and conversations"),
        ({"messages": [], "label": "billing"}, "messages", "messages"),
        ({"prompt": "", "completion": ""}, "completion", "prompt and completion"),
        ({"question": "", "answer": ""}, "completion", "question and answer"),
        ({"query": "", "laws": [], "response": ""}, "completion", "query and response"),
        ({"text": "", "label": 1}, "classification", "text and label"),
        ({"premise": "", "hypothesis": "", "label": 1}, "classification", "premise and hypothesis and label"),
        ({"text": "", "json": {}}, "extraction", "text and json"),
        ({"text": "", "entities": []}, "extraction", "text and entities"),
        ({"instruction": "", "output": {"a": 1}}, "extraction", "instruction and output"),
        ({"text": ""}, "text", "text"),
    ],
)
def test_a_form_is_recognised_by_its_columns_and_told(
    data: dict[str, Any], name: str, columns: str, told: list[Event]
) -> None:
    form = recognise(Row("a.json:1", data), SetSpec(source="a.json"), SplitSpec(), told.append)
    assert form.name == name
    assert told[0] == Chose("form", name, f"a.json has {columns}")


def test_there_is_a_form_for_every_name_that_may_be_written() -> None:
    names = SetSpec.model_fields["form"].annotation.__args__  # type: ignore[union-attr]
    assert sorted(names) == sorted(("auto", *FORMS))


def test_named_columns_decide_the_form(told: list[Event]) -> None:
    row = Row("a.json:1", {"messages": [], "title": "", "reply": ""})
    assert recognise(row, SetSpec(source="a.json", columns=MAPPED), SplitSpec(), told.append).name == "columns"
    assert told == []


def test_a_form_asked_for_is_taken_though_the_row_looks_like_another() -> None:
    row = {"text": "a", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    example = form_of(row, form="text").read(Row("a.json:1", row))
    assert isinstance(example, Example)
    assert example.texts == ("a",)


def test_a_form_travels_to_another_process() -> None:
    row = Row("a.json:1", {"text": "good", "label": 2.5})
    form = recognise(
        row, SetSpec(source="a.json", map={"text": "{{ text }}!", "label": "{{ label }}"}), SplitSpec(), hush
    )
    example = pickle.loads(pickle.dumps(form)).read(row)
    assert isinstance(example, Example)
    assert (example.texts, example.label) == (("good!",), 2.5)


def test_rows_of_no_known_form_name_their_columns() -> None:
    with pytest.raises(DataError) as caught:
        form_of({"ask": "", "say": ""})
    assert "'ask', 'say'" in caught.value.what
    assert caught.value.where == "a.json:1"
    assert caught.value.mend.startswith("say which column is which (columns.user=... columns.assistant=...)")
    assert caught.value.mend.endswith("make the columns with map")
    with pytest.raises(DataError, match="no known form") as caught:
        form_of({"paragraphs": [{"context": ""}]})
    assert caught.value.mend.endswith("or make the columns with map")


def test_a_csv_without_a_mapped_column_names_the_columns_there_are_nearest_first() -> None:
    with pytest.raises(DataError) as caught:
        form_of({"reply": "", "titel": "", "is_best": ""}, closed=True, columns=MAPPED)
    assert caught.value.what == "there is no column 'title'"
    assert caught.value.where == "a.json:1"
    assert caught.value.mend == "name one of the columns there are: 'titel', 'reply', 'is_best'"


@pytest.mark.parametrize(
    ("settings", "split"),
    [
        ({"columns": ColumnsSpec(user="q", assistant="a", tag="gone")}, SplitSpec()),
        ({"columns": ColumnsSpec(user="q", assistant="a", system="gone")}, SplitSpec()),
        ({"columns": ColumnsSpec(user="q", assistant="a", weight="gone")}, SplitSpec()),
        ({"columns": ColumnsSpec(user="q", assistant="a"), "where": {"gone": 1}}, SplitSpec()),
        (
            {"columns": ColumnsSpec(user="q", assistant="a")},
            SplitSpec(by="group", hold_out=HoldOutSpec(where={"gone": 1}, tag="t")),
        ),
    ],
)
def test_a_table_must_have_every_column_named_but_json_may_leave_out_what_it_lacks(
    settings: dict[str, Any], split: SplitSpec
) -> None:
    data, spec = {"q": "", "a": ""}, SetSpec(source="a.csv", **settings)
    with pytest.raises(DataError) as caught:
        recognise(Row("a.csv:2", data, closed=True), spec, split, hush)
    assert caught.value.what == "there is no column 'gone'"
    assert caught.value.where == "a.csv:1"
    assert recognise(Row("a.json:2", data), spec, split, hush).name == "columns"


def test_a_form_asked_for_is_checked_against_the_first_row() -> None:
    with pytest.raises(DataError) as caught:
        form_of({"instruction": "", "outputs": ""}, form="alpaca")
    assert caught.value.what == "there is no column 'output'"
    assert caught.value.where == "a.json:1"
    assert "'outputs', 'instruction'" in caught.value.mend


def test_group_tag_and_weight_are_read_beside_any_form() -> None:
    columns = ColumnsSpec(group="customer", tag="topic", weight="w")
    row = {"text": "a", "customer": 7, "topic": " bills ", "w": "0.5"}
    form = form_of(row, columns=columns, tag="other")
    example = form.read(Row("a.json:1", row))
    assert isinstance(example, Example)
    assert (example.texts, example.source) == (("a",), "a.json:1")
    assert (example.group, example.tag, example.weight) == ("7", "bills", 0.5)
    example = form.read(Row("a.json:2", {"text": "b"}))
    assert isinstance(example, Example)
    assert (example.group, example.tag, example.weight) == ("", "other", 1.0)


@pytest.mark.parametrize(
    ("row", "reason", "what"),
    [
        ({"text": "a", "g": {}}, "not text", "g is {}, not text"),
        ({"text": "a", "w": "heavy"}, "bad weight", "w is 'heavy', no weight"),
        ({"text": "a", "w": True}, "bad weight", "w is True, no weight"),
    ],
)
def test_a_group_or_a_weight_that_is_none_is_a_fault(row: dict[str, Any], reason: str, what: str) -> None:
    fault = form_of({"text": "a"}, columns=ColumnsSpec(group="g", weight="w")).read(Row("a.json:3", row))
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.what, fault.where) == (reason, what, "a.json:3")
    assert fault.mend


def test_a_filter_leaves_rows_out() -> None:
    form = form_of({"text": "a", "lang": "en"}, where={"lang": ("en", "zh")})
    assert form.wants(Row("a.json:1", {"text": "a", "lang": "zh"}))
    assert not form.wants(Row("a.json:2", {"text": "a", "lang": "de"}))


def test_a_row_nested_too_deeply_is_a_fault() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    fault = form_of({"text": "a", "json": {}}).read(Row("a.json:1", {"text": "a", "json": deep}))
    assert isinstance(fault, Fault)
    assert fault.what == "the row is nested too deeply"
    while deep:  # Python takes such an object apart by recursion too, at the end
        deep = deep.pop("a")


def test_the_sets_own_system_prompt_stands_in_where_the_row_has_none() -> None:
    form = form_of({"prompt": "q", "completion": "a"}, system="given")
    for row, wanted in (({}, "given"), ({"system": " "}, "given"), ({"system": "own"}, "own")):
        example = form.read(Row("a.json:1", {"prompt": "q", "completion": "a", **row}))
        assert isinstance(example, Example)
        assert example.messages[0] == Message("system", wanted)


@pytest.mark.parametrize(
    ("data", "columns", "what"),
    [
        ({"text": "a", "category": "b"}, {"label": "categry"}, "there is no column 'categry'"),
        ({"instruction": "a", "output": "b"}, {"chosen": "typo"}, "there is no column 'typo'"),
        ({"instruction": "a", "output": "b", "topic": "c"}, {"label": "topic"}, "rows of the form alpaca have no use"),
    ],
)
def test_a_column_that_no_form_reads_is_refused(data: dict[str, Any], columns: dict[str, str], what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        form_of(data, columns=ColumnsSpec(**columns))
    assert caught.value.where == "a.json:1"
    assert "category" in caught.value.mend or "columns." in caught.value.mend or "instruction" in caught.value.mend


@pytest.mark.parametrize("label", [0, 1, "0", "1", None])
def test_a_label_beside_a_chat_that_may_be_a_truth_must_be_explained(label: Any) -> None:
    row = {"prompt": "a", "completion": "b", "label": label}
    with pytest.raises(DataError, match="it may say that an answer is not wanted") as caught:
        form_of(row)
    assert caught.value.mend.startswith("set form=kto")
    assert form_of(row, form="completion").name == "completion"
    assert form_of(row, form="kto").name == "kto"


def test_a_column_called_kto_tag_is_one_whatever_it_holds() -> None:
    assert form_of({"messages": [], "kto_tag": 0}).name == "kto"


TOOL = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
        {"prompt": "a", "completion": "b"},
        {"instruction": "a", "output": "b"},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"prompt": "a", "completion": "b", "label": True},
    ],
)
@pytest.mark.parametrize("column", ["tools", "functions"])
def test_tools_are_kept_in_every_form_of_chat(data: dict[str, Any], column: str) -> None:
    row = {**data, column: [TOOL]}
    example = form_of(row).read(Row("a.json:1", row))
    assert isinstance(example, Example)
    assert [tool["function"]["name"] for tool in example.tools] == ["weather"]


def test_a_column_of_other_tools_beside_texts_is_left_alone() -> None:
    row = {"instruction": "What lies on the bench?", "output": "A file.", "tools": "file, rasp"}
    example = form_of(row).read(Row("a.json:1", row))
    assert isinstance(example, Example)
    assert not example.tools
