"""Tool calls in a model's own writing: the forms in which the common chat templates show them, read back.

Sources: the templates of Qwen and Hermes (`<tool_call>{...}</tool_call>`), Llama 3 (a bare `{"name", "parameters"}`,
perhaps after `<|python_tag|>`), Mistral (`[TOOL_CALLS] [...]`), GLM (`<tool_call>name` with `<arg_key>` and
`<arg_value>`), SmolLM2 (`<tool_call>[...]</tool_call>`).
"""

import json
import re
from typing import Any

from luthier.artifact.example import ToolCall
from luthier.measure.calls import call_in

TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
PAIRS = re.compile(r"<arg_key>\s*(.*?)\s*</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
BRACKETED = re.compile(r"\[TOOL_CALLS\]\s*(.*)", re.DOTALL)
PYTHON_TAG = "<|python_tag|>"
THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)\s*", re.DOTALL)


MARKS = ("<tool_call>", "[TOOL_CALLS]", PYTHON_TAG)
"""What stands before calls in a text."""


class UnreadableCall(Exception):  # noqa: N818  caught where it is called: it never reaches a face
    """The text begins a call and does not end it, or calls without a name."""


def split_calls(text: str, names: frozenset[str]) -> tuple[list[ToolCall], str]:
    """Give the calls in a text, and what is said beside them. Raises UnreadableCall."""
    text = THOUGHT.sub("", text).strip()
    if "<tool_call>" in text:
        calls = [call for body in TAGGED.findall(text) for call in _tagged(body)]
        return calls, TAGGED.sub("", text).strip()
    if found := BRACKETED.search(text):
        return _listed(found[1]), text[: found.start()].strip()
    if text.startswith(PYTHON_TAG):
        return _listed(text.removeprefix(PYTHON_TAG).strip()), ""
    if text.startswith(("{", "[")):
        try:
            calls = _listed(text)
        except UnreadableCall:
            return [], text  # JSON that is an answer
        # a JSON answer may have a key `name`: it is a call only if a tool is called so
        return (calls, "") if all(call.name in names for call in calls) else ([], text)
    return [], text


def _tagged(body: str) -> list[ToolCall]:
    if body.startswith(("{", "[")):
        return _listed(body)
    name = body.partition("<arg_key>")[0].strip()
    if not re.fullmatch(r"[\w.-]+", name):
        raise UnreadableCall(f"the call {body[:60]!r} has no name")
    return [ToolCall(name, {key: _value(value) for key, value in PAIRS.findall(body)})]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _listed(text: str) -> list[ToolCall]:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableCall(f"the call is not JSON: {error}") from None
    return [_call(entry) for entry in (found if isinstance(found, list) else [found])]


def _call(entry: Any) -> ToolCall:
    try:
        name, arguments = call_in(entry)
    except ValueError as error:
        raise UnreadableCall(str(error)) from None
    return ToolCall(name, dict(arguments), str(entry.get("id") or ""))
