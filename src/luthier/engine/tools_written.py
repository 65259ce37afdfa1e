"""Tools for a model whose chat template has no place for them: written into the conversation as plain text.

The words are those of Hermes' function calling, which many models have seen, and whose calls the server reads.
Source: NousResearch, Hermes-Function-Calling (github.com/NousResearch/Hermes-Function-Calling).
"""

import json
from collections.abc import Sequence

from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import Prompt, Spelled
from luthier.errors import DataError
from luthier.event import Chose, Tell

HOW = """\
You may call tools. Here are their signatures:
<tools>
{tools}
</tools>
For each call, write a JSON object with the tool's name and arguments within <tool_call></tool_call>:
<tool_call>
{{"name": <name>, "arguments": <arguments as a JSON object>}}
</tool_call>"""


def with_place_for_tools(model: object, prompts: Sequence[Prompt], tell: Tell) -> list[Prompt]:
    """Give prompts as they are, or, where the model's template has no place for tools, with these written as text."""
    talk = next((prompt for prompt in prompts if isinstance(prompt, Conversation) and prompt.tools), None)
    if talk is None or not isinstance(model, Spelled):
        return list(prompts)
    try:
        model.encode(talk)
    except DataError as error:
        tell(Chose("tools", "written as text", error.what))
        return [written(prompt) if isinstance(prompt, Conversation) else prompt for prompt in prompts]
    return list(prompts)


def written(talk: Conversation) -> tuple[Message, ...]:
    """Give a conversation's messages with its tools, its calls and their results as text."""
    if not talk.tools:
        return tuple(map(_turn, talk.messages))
    tools = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in talk.tools)
    how = HOW.format(tools=tools)
    first, *rest = talk.messages
    if first.role == "system":
        opening = [Message("system", f"{first.content}\n\n{how}")]
    else:
        opening, rest = [Message("system", how)], [first, *rest]
    return (*opening, *map(_turn, rest))


def _turn(turn: Message) -> Message:
    if turn.role == "tool":
        return Message("user", f"<tool_response>\n{turn.content}\n</tool_response>")
    if not turn.calls:
        return turn
    calls = "\n".join(
        f"<tool_call>\n{json.dumps({'name': call.name, 'arguments': call.arguments}, ensure_ascii=False)}\n</tool_call>"
        for call in turn.calls
    )
    return Message("assistant", f"{turn.content}\n{calls}".strip())
