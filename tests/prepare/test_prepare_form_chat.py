"""Rows of chat, in each of the ways to write them."""

import json
from typing import Any

import pytest

from luthier.artifact.example import Example, Message, ToolCall
from luthier.event import hush
from luthier.prepare.fault import Fault
from luthier.prepare.forms import recognise
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec

Q, A = Message("user", "q"), Message("assistant", "a")


def read(data: dict[str, Any], **settings: Any) -> Example | Fault:
    row = Row("a.json:1", data)
    return recognise(row, SetSpec(source="a.json", **settings), SplitSpec(), hush).read(row)


def messages(data: dict[str, Any], **settings: Any) -> tuple[Message, ...]:
    example = read(data, **settings)
    assert isinstance(example, Example), example
    return example.messages


def test_alpaca_joins_instruction_and_input_by_a_line_end_and_puts_history_first() -> None:
    # LLaMA-Factory, data/README.md: the human prompt is instruction\ninput; history is a list of pairs.
    data = {"instruction": "Add.", "input": "1 2", "output": "3", "history": [["hi", "hello"]]}
    begin = (Message("user", "hi"), Message("assistant", "hello"))
    assert messages(data) == (*begin, Message("user", "Add.\n1 2"), Message("assistant", "3"))
    assert messages({**data, "history": json.dumps(data["history"])}) == messages(data)
    plain = {"instruction": "Add.", "input": " ", "output": "3", "history": None}
    assert messages(plain) == (Message("user", "Add."), Message("assistant", "3"))


def test_both_ways_to_write_a_turn_are_read_under_either_name_as_lists_and_as_text() -> None:
    listed = [{"from": "human", "value": "q"}, {"role": "assistant", "content": "a"}]
    for name in ("messages", "conversations"):
        assert messages({name: listed}) == (Q, A)
        assert messages({name: json.dumps(listed)}) == (Q, A)
    assert messages({"talk": listed}, columns=ColumnsSpec(messages="talk")) == (Q, A)


def test_sharegpt_with_tools_is_read_as_llama_factory_writes_it() -> None:
    # LLaMA-Factory, data/README.md, "Sharegpt Format": function_call and observation, tools as JSON text
    tool = {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}
    example = read(
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "find", "arguments": {"what": "x"}}'},
                {"from": "observation", "value": '{"found": 1}'},
                {"from": "gpt", "value": "a"},
            ],
            "system": "be kind",
            "tools": json.dumps([tool]),
        }
    )
    assert isinstance(example, Example)
    assert example.messages == (
        Message("system", "be kind"),
        Q,
        Message("assistant", "", calls=(ToolCall("find", {"what": "x"}),)),
        Message("tool", '{"found": 1}'),
        A,
    )
    assert example.tools == ({"type": "function", "function": tool},)


def test_a_list_of_turns_in_a_table_may_have_columns_of_nothing() -> None:
    turns = [
        {"role": "user", "content": "q", "tool_calls": None, "name": None, "weight": None},
        {"role": "assistant", "content": "a", "tool_calls": [], "name": None, "weight": 1.0},
    ]
    assert messages({"messages": turns, "tools": None}) == (Q, Message("assistant", "a", weight=1.0))


def test_prompt_and_completion_are_texts_or_turns() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert messages({"prompt": "q", "completion": "a"}) == (Q, A)
    assert messages({"question": "q", "answer": "a"}) == (Q, A)
    wanted = (Message("system", "s"), Q, A)
    assert messages({"prompt": turns, "completion": [{"role": "assistant", "content": "a"}]}) == wanted
    assert messages({"prompt": turns, "completion": "a"}) == wanted
    assert messages({"prompt": json.dumps(turns), "completion": "a"}) == wanted


def test_columns_are_read_by_their_names_and_history_and_tools_only_where_named() -> None:
    data = {"title": "q", "reply": "a", "history": [["h", "i"]], "tools": "a hammer", "system": "Android"}
    plain = ColumnsSpec(user="title", assistant="reply")
    assert messages(data, columns=plain) == (Q, A)
    named = ColumnsSpec(user="title", assistant="reply", history="history")
    assert messages(data, columns=named) == (Message("user", "h"), Message("assistant", "i"), Q, A)


CAPTURED = {
    "request": {"model": "m", "messages": [{"role": "user", "content": "q"}], "tools": []},
    "response": {"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]},
}


def test_a_captured_request_ends_with_its_response() -> None:
    assert messages(dict(CAPTURED)) == (Q, A)
    assert messages({name: json.dumps(value) for name, value in CAPTURED.items()}) == (Q, A)


@pytest.mark.parametrize(
    ("feedback", "liked"),
    [
        ("up", True),
        ("👍", True),
        (1, True),
        (True, True),
        ({"score": 0.5}, True),
        (None, None),
        ("", None),
        ("Down", False),
        (-1, False),
        (0, False),
        ("false", False),
        ({"value": "bad"}, False),
    ],
)
def test_disliked_answers_are_not_learned_and_make_labels_for_kto(feedback: object, liked: bool | None) -> None:
    row = Row("log.jsonl:1", {**CAPTURED, "feedback": feedback})
    chat = recognise(row, SetSpec(source="log.jsonl"), SplitSpec(), hush)
    assert chat.wants(row) is (liked is not False)
    kto = recognise(row, SetSpec(source="log.jsonl", form="kto"), SplitSpec(), hush)
    assert kto.wants(row) is (liked is not None)
    example = kto.read(row)
    if liked is None:
        assert isinstance(example, Fault)
    else:
        assert isinstance(example, Example)
        assert (example.messages, example.desirable) == ((Q, A), liked)


@pytest.mark.parametrize(
    ("data", "reason", "what"),
    [
        ({"instruction": "a", "output": "b", "history": "x"}, "not of the form", "history is 'x', not a list"),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, "not of the form", "history holds ['x']"),
        ({"messages": "x"}, "not of the form", "messages is 'x', not a list of turns"),
        ({"conversations": ["x"]}, "not of the form", "turn 1 of 1 is 'x', not an object"),
        ({"messages": [], "tools": 5}, "tools not understood", "tools is 5"),
        ({**CAPTURED, "response": {"error": "busy"}}, "no answer", "the response has no message"),
        ({**CAPTURED, "request": {"prompt": "q"}}, "not of the form", "the request has no messages"),
        (
            {**CAPTURED, "response": {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}},
            "the answer was cut off",
            "the answer was cut off",
        ),
        ({**CAPTURED, "feedback": "maybe"}, "feedback not understood", "feedback is 'maybe'"),
    ],
)
def test_a_row_not_of_its_form_says_what_is_wrong(data: dict[str, Any], reason: str, what: str) -> None:
    form = "kto" if "feedback" in data else "auto"
    fault = read(data, form=form)
    assert isinstance(fault, Fault)
    assert fault.reason == reason
    assert fault.what.startswith(what)
    assert fault.where == "a.json:1"
    assert fault.mend
