"""Pairs of answers, and answers that are wanted or not."""

from typing import Any

import pytest

from luthier.artifact.example import Example, Message
from luthier.event import hush
from luthier.prepare.fault import Fault
from luthier.prepare.forms import recognise
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec

Q, A, B = Message("user", "q"), Message("assistant", "a"), Message("assistant", "b")


def turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def read(data: dict[str, Any], **settings: Any) -> Example | Fault:
    row = Row("a.json:1", data)
    return recognise(row, SetSpec(source="a.json", **settings), SplitSpec(), hush).read(row)


@pytest.mark.parametrize(
    "data",
    [
        # TRL's "Dataset formats": standard with an explicit prompt, conversational with one and without
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [turn("user", "q")], "chosen": [turn("assistant", "a")], "rejected": [turn("assistant", "b")]},
        {
            "chosen": [turn("user", "q"), turn("assistant", "a")],
            "rejected": [turn("user", "q"), turn("assistant", "b")],
        },
        # HuggingFaceH4/ultrafeedback_binarized: the prompt stands there once more as text
        {
            "prompt": "q",
            "chosen": [turn("user", "q"), turn("assistant", "a")],
            "rejected": [turn("user", "q"), turn("assistant", "b")],
        },
        # LLaMA-Factory, data/README.md, "Preference Dataset", alpaca and sharegpt
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        # Anthropic/hh-rlhf
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ],
)
def test_a_pair_is_read_however_it_is_written(data: dict[str, Any]) -> None:
    example = read(data)
    assert isinstance(example, Example), example
    assert (example.messages, example.rejected, example.task) == ((Q, A), B, "preference")


def test_a_pair_may_follow_several_turns_and_a_system_prompt() -> None:
    begin = [turn("user", "1"), turn("assistant", "2"), turn("user", "q")]
    example = read({"messages": begin, "system": "s", "better": "a", "worse": "b"}, columns=BETTER)
    assert isinstance(example, Example)
    assert [message.content for message in example.messages] == ["s", "1", "2", "q", "a"]
    assert example.rejected == B


BETTER = ColumnsSpec(chosen="better", rejected="worse")


@pytest.mark.parametrize(
    ("data", "reason", "what"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "equal answers", "chosen and rejected are the same"),
        ({"chosen": "a", "rejected": "b"}, "no prompt", "nothing says what chosen answers"),
        ({"prompt": "q", "chosen": "a", "rejected": ""}, "no answer", "the answer is empty"),
        ({"prompt": "q", "chosen": "a", "rejected": {"a": 1}}, "not text", "turn 2 of 2 is {'a': 1}"),
        (
            {
                "chosen": [turn("user", "q"), turn("assistant", "a")],
                "rejected": [turn("user", "other"), turn("assistant", "b")],
            },
            "answers part too early",
            "the two answers do not follow the same turns",
        ),
        (
            {"prompt": "q", "chosen": [turn("assistant", "a"), turn("user", "x")], "rejected": "b"},
            "not of the form",
            "chosen has 2 turns after the prompt, not one",
        ),
        (
            {"prompt": [turn("assistant", "x")], "chosen": "a", "rejected": "b"},
            "roles out of order",
            "turn 1 is of the assistant",
        ),
    ],
)
def test_a_pair_that_teaches_nothing_says_why(data: dict[str, Any], reason: str, what: str) -> None:
    fault = read(data)
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.where) == (reason, "a.json:1")
    assert fault.what.startswith(what)
    assert fault.mend


@pytest.mark.parametrize(
    "data",
    [
        {"messages": [turn("user", "q"), turn("assistant", "a")], "label": False},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "kto_tag": False},
        {"prompt": "q", "completion": "a", "label": "false"},
        {"prompt": [turn("user", "q")], "completion": [turn("assistant", "a")], "label": False},
        {"instruction": "q", "output": "a", "kto_tag": False},
    ],
)
def test_an_answer_is_wanted_or_not(data: dict[str, Any]) -> None:
    example = read(data)
    assert isinstance(example, Example)
    assert (example.messages, example.desirable, example.task) == ((Q, A), False, "kto")


def test_a_number_is_a_label_where_the_form_says_so() -> None:
    example = read({"prompt": "q", "completion": "a", "good": 1}, form="kto", columns=ColumnsSpec(label="good"))
    assert isinstance(example, Example)
    assert example.desirable is True
    fault = read({"prompt": "q", "completion": "a", "label": 0.5}, form="kto")
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.what) == ("no label", "label is 0.5, not true or false")
    assert fault.mend == "write true or false"
