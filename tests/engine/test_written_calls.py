"""Calls in a model's own writing, as the chat templates of each family show them."""

import pytest

from luthier.artifact.example import ToolCall
from luthier.engine.written_calls import UnreadableCall, split_calls

NAMES = frozenset({"add"})


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',  # Qwen 2.5 and 3, Hermes
        '<think>hm {"x"}</think>\n<tool_call>{"name": "add", "arguments": {"a": 1}}',  # the end token was the stop
        '<tool_call>[{"name": "add", "arguments": {"a": 1}}]</tool_call>',  # SmolLM2
        '{"name": "add", "parameters": {"a": 1}}',  # Llama 3.1
        '<|python_tag|>{"name": "add", "parameters": {"a": 1}}',
        '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "123456789"}]',  # Mistral
        "<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",  # GLM 4.5
        '<tool_call>{"function": {"name": "add", "arguments": "{\\"a\\": 1}"}}</tool_call>',  # as OpenAI has it
    ],
)
def test_a_call_is_read_in_each_familys_writing(text: str) -> None:
    [call], beside = split_calls(text, NAMES)
    assert (call.name, call.arguments, beside) == ("add", {"a": 1}, "")


def test_several_calls_and_words_beside_them_are_told_apart() -> None:
    one = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    calls, beside = split_calls(f"Let me see.\n{one}\n{one}", NAMES)
    assert (calls, beside) == ([ToolCall("add", {"a": 1})] * 2, "Let me see.")


@pytest.mark.parametrize("text", ["Plain words.", '{"name": "Ada", "born": 1815}', '{"a": 1}', "[1, 2]", "{broken", ""])
def test_what_is_no_call_is_an_answer(text: str) -> None:
    assert split_calls(text, NAMES) == ([], text)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "add", "arguments": {"a":</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
        "[TOOL_CALLS] add",
        "<tool_call>so many words</tool_call>",
        "<|python_tag|>print(1)",
    ],
)
def test_a_call_that_cannot_be_read_is_a_fault(text: str) -> None:
    with pytest.raises(UnreadableCall):
        split_calls(text, NAMES)
