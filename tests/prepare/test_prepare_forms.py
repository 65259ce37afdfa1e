"""The forms of rows: recognised by their keys and read into turns."""

from typing import Any

import pytest

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.forms import FORMS, recognise
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, PrepareSpec

MAPPED = ColumnsSpec(user="title", assistant="reply")


def turns(form: str, data: dict[str, Any], columns: ColumnsSpec | None = None) -> object:
    return FORMS[form].read(data, columns or ColumnsSpec())


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"messages": []}, "messages"),
        ({"conversations": []}, "conversations"),
        ({"instruction": "", "output": ""}, "alpaca"),
        ({"instruction": "", "input": "", "output": "", "history": []}, "alpaca"),
    ],
)
def test_a_form_is_recognised_by_its_keys_and_told(data: dict[str, Any], name: str, told: list[Event]) -> None:
    assert recognise(Row("a.json:1", data), PrepareSpec(), told.append) is FORMS[name]
    (event,) = told
    assert isinstance(event, Chose)
    assert (event.what, event.value) == ("form", name)
    assert event.why.startswith("a.json has ")


def test_named_columns_decide_the_form() -> None:
    row = Row("a.json:1", {"messages": [], "title": "", "reply": ""})
    assert recognise(row, PrepareSpec(columns=MAPPED), hush) is FORMS["columns"]


def test_rows_of_no_known_form_name_their_columns() -> None:
    with pytest.raises(DataError) as caught:
        recognise(Row("a.json:2", {"query": "", "response": ""}), PrepareSpec(), hush)
    assert "'query', 'response'" in caught.value.what
    assert caught.value.where == "a.json:2"
    assert caught.value.mend == "say which column is which: columns.user=... columns.assistant=..."


def test_a_csv_without_a_mapped_column_names_the_columns_there_are_nearest_first() -> None:
    row = Row("a.csv:2", {"reply": "", "titel": "", "is_best": ""}, closed=True)
    with pytest.raises(DataError) as caught:
        recognise(row, PrepareSpec(columns=MAPPED), hush)
    assert caught.value.what == "there is no column 'title'"
    assert caught.value.where == "a.csv:1"
    assert caught.value.mend == "name one of the columns there are: 'titel', 'reply', 'is_best'"


@pytest.mark.parametrize(
    "spec",
    [
        PrepareSpec(columns=ColumnsSpec(user="q", assistant="a", tag="gone")),
        PrepareSpec(columns=ColumnsSpec(user="q", assistant="a", system="gone")),
        PrepareSpec(columns=ColumnsSpec(user="q", assistant="a"), where={"gone": 1}),
    ],
)
def test_a_table_must_have_every_column_named_but_json_may_leave_out_what_it_lacks(spec: PrepareSpec) -> None:
    data = {"q": "", "a": ""}
    with pytest.raises(DataError) as caught:
        recognise(Row("a.csv:2", data, closed=True), spec, hush)
    assert caught.value.what == "there is no column 'gone'"
    assert recognise(Row("a.json:2", data), spec, hush) is FORMS["columns"]


def test_a_form_asked_for_is_checked_against_the_first_row() -> None:
    with pytest.raises(DataError) as caught:
        recognise(Row("a.json:1", {"instruction": "", "outputs": ""}), PrepareSpec(form="alpaca"), hush)
    assert caught.value.what == "there is no column 'output'"
    assert caught.value.where == "a.json:1"
    assert "'outputs', 'instruction'" in caught.value.mend


def test_alpaca_joins_instruction_and_input_by_a_line_end_and_puts_history_first() -> None:
    # LLaMA-Factory, data/README.md: the human prompt is instruction\ninput; history is a list of pairs.
    data = {"instruction": "Add.", "input": "1 2", "output": "3", "history": [["hi", "hello"]]}
    assert turns("alpaca", data) == [("user", "hi"), ("assistant", "hello"), ("user", "Add.\n1 2"), ("assistant", "3")]
    assert turns("alpaca", {"instruction": "Add.", "input": " ", "output": "3"}) == [
        ("user", "Add."),
        ("assistant", "3"),
    ]


@pytest.mark.parametrize(
    ("form", "data", "what"),
    [
        ("alpaca", {"instruction": "a", "output": "b", "history": "x"}, "history is 'x', not a list"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["x"]]}, "history holds ['x']"),
        ("messages", {"messages": "x"}, "messages is 'x', not a list of turns"),
        ("conversations", {"conversations": ["x"]}, "turn 1 of conversations is 'x', not an object"),
    ],
)
def test_a_row_not_of_its_form_says_what_is_wrong(form: str, data: dict[str, Any], what: str) -> None:
    said = turns(form, data)
    assert isinstance(said, str)
    assert said.startswith(what)


def test_both_ways_to_write_a_turn_are_read_under_either_name() -> None:
    listed = [{"from": "human", "value": "q"}, {"role": "assistant", "content": "a"}]
    wanted = [("human", "q"), ("assistant", "a")]
    assert turns("messages", {"messages": listed}) == wanted
    assert turns("conversations", {"conversations": listed}) == wanted


def test_a_message_that_calls_tools_is_a_turn_of_a_tool() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    assert turns("messages", {"messages": [called]}) == [("tool", None)]


def test_columns_are_read_by_their_names() -> None:
    assert turns("columns", {"title": "q", "reply": "a"}, MAPPED) == [("user", "q"), ("assistant", "a")]
