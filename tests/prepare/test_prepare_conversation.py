"""Roles, order and texts of a conversation, with tools and without."""

from typing import Any

import pytest

from luthier.artifact.example import Message, ToolCall
from luthier.prepare.conversation import messages_of
from luthier.prepare.fault import BadRow

Turn = dict[str, Any]
Q: Turn = {"from": "human", "value": "q"}
A: Turn = {"from": "gpt", "value": "a"}
CALL: Turn = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"n": 1}'}}],
}
RESULT: Turn = {"role": "tool", "tool_call_id": "c1", "content": "2"}
ADD = {"type": "function", "function": {"name": "add", "parameters": {}}}


def user(content: object) -> Turn:
    return {"role": "user", "content": content}


def gpt(value: object) -> Turn:
    return {"from": "gpt", "value": value}


def test_several_turns_with_a_system_message_become_messages() -> None:
    turns = [{"role": "developer", "content": "be kind"}, user("q"), A, {"from": "human", "value": 5}, gpt(" a2 ")]
    assert messages_of(turns, "not used") == (
        Message("system", "be kind"),
        Message("user", "q"),
        Message("assistant", "a"),
        Message("user", "5"),
        Message("assistant", " a2 "),
    )


def test_a_system_prompt_is_put_before_turns_that_have_none() -> None:
    wanted = (Message("system", "be kind"), Message("user", "q"), Message("assistant", "a"))
    assert messages_of([Q, A], "be kind") == wanted
    assert messages_of([{"from": "system", "value": " "}, Q, A], "be kind") == wanted
    assert messages_of([Q, A], None) == messages_of([Q, A], "") == wanted[1:]


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert messages_of([user(parts), A]) == (Message("user", "one two"), Message("assistant", "a"))


def test_tool_calls_and_results_are_read_as_openai_writes_them() -> None:
    # platform.openai.com/docs/guides/function-calling: arguments are JSON text, results name their call
    assert messages_of([user("1 + 1?"), CALL, RESULT, gpt("2")], tools=[ADD]) == (
        Message("user", "1 + 1?"),
        Message("assistant", "", calls=(ToolCall("add", {"n": 1}, "c1"),)),
        Message("tool", "2", call_id="c1"),
        Message("assistant", "2"),
    )


def test_a_conversation_may_end_with_a_call_and_a_call_may_follow_words() -> None:
    called = {"from": "function_call", "value": '{"name": "add", "arguments": {"n": 1}}'}
    both = (Message("user", "q"), Message("assistant", "a", calls=(ToolCall("add", {"n": 1}),)))
    assert messages_of([Q, A, called]) == both
    assert messages_of([Q, called])[-1] == Message("assistant", "", calls=(ToolCall("add", {"n": 1}),))


def test_a_weight_names_and_thoughts_stay_with_their_turn() -> None:
    turns = [
        user("q"),
        {"role": "assistant", "content": "a", "weight": 0, "reasoning_content": "hm"},
        user("q2"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": {"b": 1, "a": "中"}},
        {"role": "assistant", "content": "end", "tool_calls": None, "weight": None},
    ]
    assert messages_of(turns)[1:] == (
        Message("assistant", "a", "hm", weight=0.0),
        Message("user", "q2"),
        Message("assistant", "", calls=(ToolCall("f", {}),)),
        Message("tool", '{"a": "中", "b": 1}', name="f"),
        Message("assistant", "end"),
    )


def test_a_prompt_ends_with_what_is_to_be_answered() -> None:
    assert messages_of([Q, A, Q], last="question")[-1] == Message("user", "q")
    with pytest.raises(BadRow, match="ends with an answer"):
        messages_of([Q, A], last="question")


@pytest.mark.parametrize(
    ("turns", "system", "reason", "what", "mend"),
    [
        ([Q], None, "ends with the user", "the conversation ends with the user", "add the answer to learn"),
        ([Q, A, Q], None, "ends with the user", "the conversation ends with the user", "add the answer"),
        ([Q, CALL, RESULT], None, "ends with a tool's result", "the conversation ends with a tool's", "add the answer"),
        ([Q, gpt(None)], None, "no answer", "the answer is empty", "fill it in"),
        ([Q, gpt(" \n")], None, "no answer", "the answer is empty", "fill it in"),
        ([user(""), A], None, "empty turn", "turn 1 of 2 (user) is empty", "fill it in"),
        ([Q, gpt(""), Q, A], None, "empty turn", "turn 2 of 4 (assistant) is empty", "fill it in"),
        ([A, Q, A], None, "roles out of order", "turn 1 is of the assistant, not the user", "take turns"),
        ([Q, Q, A], None, "roles out of order", "turn 2 is of the user, not the assistant", "take turns"),
        ([{"role": "system", "content": "s"}, A], None, "roles out of order", "turn 2 is of the assistant", "turns"),
        ([Q, A, {"role": "system", "content": "s"}], None, "roles out of order", "turn 3 is of the system", "turns"),
        ([Q, A, RESULT, A], None, "roles out of order", "turn 3 is of the tool, not the user", "follow its call"),
        ([Q, CALL, Q, A], None, "roles out of order", "turn 3 is of the user, not the tool", "follow its call"),
        ([], None, "no turns", "the conversation has no turns", "give it a question and an answer"),
        ([], "be kind", "no turns", "the conversation has no turns", "give it a question and an answer"),
        ([Q, {"from": "bing", "value": "a"}], None, "unknown role", "turn 2 of 2 has the role 'bing'", "system, dev"),
        ([Q, {"from": [], "value": "a"}], None, "unknown role", "turn 2 of 2 has the role []", "call it one of"),
        ([{"type": "image_url"}], None, "unknown role", "turn 1 of 1 has the role None", "call it one of"),
        ([Q, "a"], None, "not of the form", "turn 2 of 2 is 'a', not an object", '"content"'),
        ([Q, gpt({"a": 1})], None, "not text", "turn 2 of 2 is {'a': 1}, not text", "as one text"),
        ([Q, gpt(True)], None, "not text", "turn 2 of 2 is True, not text", "as one text"),
        (
            [user([{"type": "image_url"}]), A],
            None,
            "not text",
            "turn 1 of 2 holds a part of the type 'image_url'",
            "only texts are",
        ),
        ([user([{"type": "text", "text": 5}]), A], None, "not text", "turn 1 of 2 is [{'type'", "as one text"),
        ([user("\ud800"), A], None, "not text", "turn 1 of 2 has half a surrogate pair", "one \\u pair"),
        ([Q, A], {"a": 1}, "not text", "the system prompt is {'a': 1}, not text", "as one text"),
        ([Q, {**A, "weight": -1}], None, "bad weight", "the weight of turn 2 of 2 is -1", "from 0 up"),
        ([Q, {**A, "weight": "much"}], None, "bad weight", "the weight of turn 2 of 2 is 'much'", "from 0 up"),
        ([Q, CALL, RESULT, RESULT, A], None, "tool result without its call", "turn 4 is a tool's", "with the same id"),
        ([Q, CALL, {**RESULT, "tool_call_id": "x"}, A], None, "tool result without its call", "turn 3", "same id"),
    ],
)
def test_a_conversation_that_cannot_be_learned_says_why(
    turns: list[Any], system: object, reason: str, what: str, mend: str
) -> None:
    with pytest.raises(BadRow) as caught:
        messages_of(turns, system)
    fault = caught.value.at("a.json:7")
    assert fault.reason == reason
    assert fault.what.startswith(what)
    error = fault.error()
    assert error.where == "a.json:7"
    assert mend in error.mend
    assert error.mend.endswith("or set bad_rows=drop")


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("add", "turn 2 of 2 is 'add', not a tool call"),
        ({"arguments": {}}, "turn 2 of 2 calls {'arguments': {}}, without a name"),
        ({"name": "add", "arguments": "[1]"}, "turn 2 of 2 calls add with '[1]', no JSON object"),
        ({"name": "add", "arguments": "{broken"}, "turn 2 of 2 calls add with '{broken', no JSON object"),
        ({"name": "add", "arguments": {"n": float("nan")}}, "the call in turn 2 of 2 cannot be written as JSON"),
    ],
)
def test_a_call_that_cannot_be_made_says_why(call: object, what: str) -> None:
    with pytest.raises(BadRow) as caught:
        messages_of([Q, {"from": "function_call", "value": call}])
    assert caught.value.what.startswith(what)
    assert caught.value.mend


def test_a_call_of_a_tool_that_is_not_listed_names_those_that_are() -> None:
    other = {"type": "function", "function": {"name": "subtract"}}
    with pytest.raises(BadRow) as caught:
        messages_of([Q, CALL, RESULT, A], tools=[other])
    assert caught.value.reason == "unknown tool"
    assert caught.value.what == "turn 2 calls 'add', which is none of its tools"
    assert caught.value.mend.endswith("there are: subtract")
