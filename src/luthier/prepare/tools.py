"""Tools that may be called, and the calls, in the ways in which files write them.

Sources: OpenAI's chat completions (`tools`, `tool_calls`, and the older `functions`, `function_call`);
`function_call` turns as LLaMA-Factory's `data/README.md` describes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.artifact.example import Message, ToolCall
from luthier.prepare.fault import BadRow
from luthier.prepare.values import canonical, unpacked

Tool = Mapping[str, Any]


def tools_of(value: Any) -> tuple[Tool, ...]:
    """Give a list of tools, as JSON text too, in OpenAI's form. Raises BadRow for what is no list of tools."""
    listed = unpacked(value)
    if listed is None or (isinstance(listed, str) and not listed.strip()):
        return ()
    if isinstance(listed, dict):
        listed = [listed]
    if not isinstance(listed, list):
        raise _no_tools(f"tools is {value!r:.60}, not a list of tools")
    return tuple(_tool(unpacked(tool), number) for number, tool in enumerate(listed, 1))


def _tool(tool: Any, number: int) -> Tool:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    is_named = isinstance(function, dict) and isinstance(function.get("name"), str) and function["name"].strip()
    if not is_named:
        raise _no_tools(f"tool {number} is {tool!r:.60}, without a name")
    canonical(function, f"tool {number}")
    return {"type": "function", "function": function}


def _no_tools(what: str) -> BadRow:
    mend = 'write tools as a list of {"name": ..., "description": ..., "parameters": ...}'
    return BadRow("tools not understood", what, mend)


def calls_of(value: Any, which: str) -> tuple[ToolCall, ...]:
    """Give the calls of one turn, of one call or a list, as JSON text too.

    Raises BadRow for a call without a name, or with arguments that are no JSON object.
    """
    listed = unpacked(value)
    if isinstance(listed, dict):
        listed = [listed]
    if not isinstance(listed, list) or not listed:
        raise _no_call(f"{which} is {value!r:.60}, not a tool call")
    return tuple(_call(unpacked(call), which) for call in listed)


def _call(call: Any, which: str) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise _no_call(f"{which} calls {call!r:.60}, without a name")
    given = function.get("arguments", function.get("parameters"))
    arguments = {} if given is None or given == "" else unpacked(given)
    if not isinstance(arguments, dict):
        raise _no_call(f"{which} calls {function['name']} with {given!r:.60}, no JSON object")
    canonical([function["name"], arguments, call.get("id")], f"the call in {which}")
    return ToolCall(function["name"], arguments, str(call.get("id") or ""))


def _no_call(what: str) -> BadRow:
    return BadRow("bad tool call", what, 'write {"name": ..., "arguments": {...}}')


def check_calls(messages: Sequence[Message], tools: Sequence[Tool]) -> None:
    """Hold calls against the tools that are listed, and results against the calls. Raises BadRow."""
    names = [tool["function"]["name"] for tool in tools]
    waiting: tuple[ToolCall, ...] = ()
    answered = 0
    for number, message in enumerate(messages, 1):
        for call in message.calls:
            if names and call.name not in names:
                what = f"turn {number} calls {call.name!r:.60}, which is none of its tools"
                raise BadRow("unknown tool", what, f"list it among the tools; there are: {', '.join(names)[:200]}")
        if message.role != "tool":
            waiting, answered = message.calls, 0
            continue
        answered += 1
        known = {call.id for call in waiting}
        if answered > len(waiting) or (message.call_id and known != {""} and message.call_id not in known):
            what = f"turn {number} is a tool's result that no call asked for"
            raise BadRow("tool result without its call", what, "put the call before it, with the same id")
