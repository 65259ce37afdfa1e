"""Tools, calls, results and thinking in a request: read as the chat template takes them, or refused by name."""

import json
from typing import Any

import pytest

from luthier.artifact.example import Conversation, Message, ToolCall
from luthier.errors import LuthierError
from luthier.serve.refusal import to_plain
from luthier.serve.request import read_chat

USER = {"role": "user", "content": "Sky?"}
TOOL = {"function": {"parameters": {"type": "object"}, "name": "look"}, "type": "function"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "天"}'}}
RESULT = {"role": "tool", "content": "blue", "tool_call_id": "c1", "name": "look"}


def body(*messages: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def test_calls_results_and_thinking_become_messages() -> None:
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Let me look."}
    asked = read_chat(body(USER, calling, RESULT), None)
    assert asked.prompts == (
        (
            Message("user", "Sky?"),
            Message("assistant", "", "Let me look.", (ToolCall("look", {"at": "天"}, "c1"),)),
            Message("tool", "blue", name="look", call_id="c1"),
        ),
    )


def test_tools_go_with_the_conversation_in_the_clients_own_words() -> None:
    [prompt] = read_chat(body(USER, tools=[TOOL], tool_choice="auto"), None).prompts
    assert isinstance(prompt, Conversation)
    assert json.dumps(prompt.tools) == json.dumps([TOOL])  # the order of keys too: a template writes it
    assert read_chat(body(USER, tools=[]), None).prompts == read_chat(body(USER, tools=None), None).prompts


def test_arguments_may_be_an_object() -> None:
    call = {"function": {"name": "look", "arguments": {"at": 1}}}
    [prompt] = read_chat(body(USER, {"role": "assistant", "content": "x", "tool_calls": [call]}), None).prompts
    assert isinstance(prompt, tuple)
    assert prompt[1] == Message("assistant", "x", calls=(ToolCall("look", {"at": 1}),))


@pytest.mark.parametrize(
    ("messages", "more", "parameter", "message"),
    [
        ([{**USER, "tool_calls": [CALL]}], {}, "messages.0.tool_calls", "of the role 'assistant'"),
        ([USER, {**USER, "reasoning_content": "x"}], {}, "messages.1.reasoning_content", "'assistant'"),
        ([USER, {**USER, "tool_call_id": "x"}], {}, "messages.1.tool_call_id", "'tool'"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": "[1"}}]}],
            {},
            "messages.0.tool_calls.0.function.arguments",
            "send a JSON object",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": "[1]"}}]}],
            {},
            "messages.0.tool_calls.0.function.arguments",
            "send a JSON object",
        ),
        ([{"role": "assistant", "content": None}], {}, "messages.0.content", "valid string"),
        ([USER], {"tools": "look"}, "tools", "valid list"),
        ([USER], {"tools": [{"type": "web"}]}, "tools.0.type", "'function'"),
        ([USER], {"tools": [{"type": "function", "function": {}}]}, "tools.0.function", "name"),
        ([USER], {"tool_choice": "required"}, "tool_choice", "leave tool_choice out"),
        (
            [USER],
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "listen"}}},
            "tool_choice",
            "name one of: look",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused_by_name(
    messages: list[Any], more: dict[str, Any], parameter: str, message: str
) -> None:
    with pytest.raises(LuthierError) as caught:
        read_chat(body(*messages, **more), None)
    error = to_plain(caught.value)["error"]
    assert error["param"].startswith(parameter)
    assert message in error["message"]
    assert caught.value.mend
