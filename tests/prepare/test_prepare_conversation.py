"""Roles, order and texts of a conversation."""

import pytest

from luthier.artifact.example import Message
from luthier.prepare.conversation import messages_of
from luthier.prepare.fault import Fault
from luthier.prepare.forms import Turn

Q: Turn = ("human", "q")
A: Turn = ("gpt", "a")


def test_several_turns_with_a_system_message_become_messages() -> None:
    turns = [("developer", "be kind"), ("user", "q"), ("gpt", "a"), ("human", 5), ("assistant", " a2 ")]
    assert messages_of(turns, "not used", "x:1") == (
        Message("system", "be kind"),
        Message("user", "q"),
        Message("assistant", "a"),
        Message("user", "5"),
        Message("assistant", " a2 "),
    )


def test_a_system_prompt_is_put_before_turns_that_have_none() -> None:
    assert messages_of([Q, A], "be kind", "x:1") == (
        Message("system", "be kind"),
        Message("user", "q"),
        Message("assistant", "a"),
    )
    assert messages_of([Q, A], None, "x:1") == messages_of([Q, A], "", "x:1")


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert messages_of([("user", parts), A], None, "x:1") == (Message("user", "one two"), Message("assistant", "a"))


@pytest.mark.parametrize(
    ("turns", "system", "reason", "what", "mend"),
    [
        ([Q], None, "ends with the user", "the conversation ends with the user", "add the answer to learn"),
        ([Q, A, Q], None, "ends with the user", "the conversation ends with the user", "add the answer"),
        ([Q, ("gpt", None)], None, "no answer", "the answer is empty", "fill it in"),
        ([Q, ("gpt", " \n")], None, "no answer", "the answer is empty", "fill it in"),
        ([("human", ""), A], None, "empty turn", "turn 1 of 2 (user) is empty", "fill it in"),
        ([Q, ("gpt", ""), Q, A], None, "empty turn", "turn 2 of 4 (assistant) is empty", "fill it in"),
        ([A, Q, A], None, "roles out of order", "turn 1 is of the assistant, not the user", "take turns"),
        ([Q, Q, A], None, "roles out of order", "turn 2 is of the user, not the assistant", "take turns"),
        ([("system", "s"), A], None, "roles out of order", "turn 2 is of the assistant, not the user", "take turns"),
        ([Q, A, ("system", "s")], None, "roles out of order", "turn 3 is of the system, not the user", "take turns"),
        ([], None, "no turns", "the conversation has no turns", "give it a question and an answer"),
        ([], "be kind", "no turns", "the conversation has no turns", "give it a question and an answer"),
        ([Q, ("bing", "a")], None, "unknown role", "turn 2 of 2 has the role 'bing'", "system, developer, user, human"),
        ([Q, ([], "a")], None, "unknown role", "turn 2 of 2 has the role []", "call it one of"),
        ([Q, ("function_call", "{}"), A], None, "tool turn", "turn 2 of 3 is of a tool ('function_call')", "leave out"),
        ([Q, ("gpt", {"a": 1})], None, "not text", "turn 2 of 2 is {'a': 1}, not text", "as one text"),
        ([Q, ("gpt", True)], None, "not text", "turn 2 of 2 is True, not text", "as one text"),
        ([([{"type": "image_url"}], A)], None, "unknown role", "turn 1 of 1 has the role", "call it one of"),
        ([("user", [{"type": "image_url"}]), A], None, "not text", "turn 1 of 2 is [{'type'", "as one text"),
        ([("user", "\ud800"), A], None, "not text", "turn 1 of 2 has half a surrogate pair", "one \\u pair"),
        ([Q, A], {"a": 1}, "not text", "turn 1 of 3 is {'a': 1}, not text", "as one text"),
    ],
)
def test_a_conversation_that_cannot_be_learned_says_why(
    turns: list[Turn], system: object, reason: str, what: str, mend: str
) -> None:
    fault = messages_of(turns, system, "a.json:7")
    assert isinstance(fault, Fault)
    assert fault.reason == reason
    assert fault.what.startswith(what)
    error = fault.error()
    assert error.where == "a.json:7"
    assert mend in error.mend
    assert error.mend.endswith("or set bad_rows=drop")
