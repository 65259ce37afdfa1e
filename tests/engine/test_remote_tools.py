"""Tools and calls over HTTP: sent as the OpenAI API has them."""

import json

from test_remote import chat_reply, serving

from luthier.artifact.example import Conversation, Message, ToolCall
from luthier.engine.ports import Sampling
from luthier.engine.remote import RemoteModel

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
TALK = (
    Message("user", "Sky?"),
    Message("assistant", "", calls=(ToolCall("look", {"at": "天"}, "c1"),)),
    Message("tool", "blue", name="look", call_id="c1"),
)


def test_a_conversation_is_sent_with_its_tools_and_calls_as_json_in_a_text() -> None:
    with serving(chat_reply("Blue.")) as heard:
        [answer] = RemoteModel(heard.url, "m").answer([Conversation(TALK, (TOOL,))], Sampling())
    path, _, body = heard.asked[-1]
    assert (path, answer.text) == ("/v1/chat/completions", "Blue.")
    assert body["tools"] == [TOOL]
    [call] = body["messages"][1]["tool_calls"]
    assert call["id"] == body["messages"][2]["tool_call_id"] == "c1"
    assert json.loads(call["function"]["arguments"]) == {"at": "天"}


def test_a_conversation_without_tools_sends_none() -> None:
    with serving(chat_reply("Blue.")) as heard:
        RemoteModel(heard.url, "m").answer([Conversation(TALK[:1])], Sampling())
    assert "tools" not in heard.asked[-1][2]
    assert heard.asked[-1][2]["messages"] == [{"role": "user", "content": "Sky?"}]
