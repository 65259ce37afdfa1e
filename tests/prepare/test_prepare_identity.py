"""What an example is known by."""

import hashlib
from dataclasses import replace

from luthier.artifact.example import Example, Message, ToolCall
from luthier.prepare.identity import content_id

CHAT = Example("", (Message("user", "问"), Message("assistant", "a")), "a.csv:2")


def test_a_plain_chat_is_known_by_the_sum_of_its_messages_as_json() -> None:
    text = '[{"role":"user","content":"问"},{"role":"assistant","content":"a"}]'
    assert content_id(CHAT) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_where_it_came_from_and_what_it_weighs_is_no_content() -> None:
    moved = replace(CHAT, source="b.csv:9", group="g", tag="t", weight=0.5)
    weighed = replace(CHAT, messages=(CHAT.messages[0], replace(CHAT.messages[1], weight=0.0)))
    assert content_id(moved) == content_id(weighed) == content_id(CHAT)


def test_all_that_is_learned_from_is_content() -> None:
    called = replace(CHAT.messages[1], calls=(ToolCall("f", {"a": 1}),))
    others = [
        replace(CHAT, messages=(CHAT.messages[0], called)),
        replace(CHAT, messages=(CHAT.messages[0], replace(CHAT.messages[1], reasoning="hm"))),
        replace(CHAT, tools=({"type": "function", "function": {"name": "f"}},)),
        replace(CHAT, rejected=Message("assistant", "b")),
        replace(CHAT, desirable=True),
        replace(CHAT, desirable=False),
        replace(CHAT, messages=(), texts=("a",)),
        replace(CHAT, messages=(), texts=("a",), label="x"),
        replace(CHAT, messages=(), texts=("a",), label=("x",)),
        replace(CHAT, messages=(), texts=("a",), label=1.0),
    ]
    assert len({content_id(one) for one in (CHAT, *others)}) == len(others) + 1
