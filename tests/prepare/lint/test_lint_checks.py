"""What one row tells by itself."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from luthier.artifact.example import Example, Message, ToolCall
from luthier.prepare.facts import Flag
from luthier.prepare.lint.checks import (
    Context,
    cjk_share,
    is_echo,
    languages_differ,
    learned_characters,
    markers_in,
    row_checks,
)
from luthier.prepare.lint.passages import passage_hashes, passages_of

RHYME = "mary had a little lamb its fleece was white as snow and everywhere that mary went the lamb was sure to go"


def chat(question: str, answer: str) -> Example:
    return Example("0" * 16, (Message("user", question), Message("assistant", answer)), "a.jsonl:1")


def test_a_plain_row_has_no_flags() -> None:
    marks = row_checks(chat("What is a parrot?", "A bird."), Context())
    assert marks.flags == 0
    assert marks.asked
    assert marks.opening
    assert marks.reply


@pytest.mark.parametrize(
    ("question", "answer", "flag"),
    [
        ("Repeat: parrots talk.", "repeat parrots talk", Flag.ECHO),
        ("What follows?", "### Response:\nthis", Flag.TEMPLATE_TEXT),
        (
            "Which bird talks to people?",
            "会说话的鸟是鹦鹉,它们很聪明,能模仿人的声音。",
            Flag.CJK | Flag.LANGUAGES_DIFFER,
        ),
        ("哪种鸟会说话?", "会说话的鸟是鹦鹉。", Flag.CJK),
        ("Which one was lost?", "It was \ufffd.", Flag.DAMAGED),
    ],
)
def test_a_row_is_flagged_for_what_it_says(question: str, answer: str, flag: Flag) -> None:
    assert row_checks(chat(question, answer), Context()).flags == flag


def test_translations_and_code_may_be_in_another_language() -> None:
    assert not languages_differ("把这句话翻译成英文:鹦鹉会说话,而且很聪明。", "Parrots can talk, and they are clever.")
    assert not languages_differ("请写一个打印问候语的程序,越短越好。", "def greet():\n    print('hello to everybody')")
    assert languages_differ("请告诉我鹦鹉为什么会说话,越短越好。", "Parrots can talk because they have a syrinx.")
    assert not languages_differ("谁?", "Parrots can talk because they have a syrinx.")


def test_what_is_asked_is_known_again_in_other_case_width_and_spaces_but_not_under_another_system_prompt() -> None:
    one = row_checks(chat("What is  a PARROT?", "A bird."), Context())
    other = row_checks(chat("what is a parrot?", "An animal."), Context())
    assert one.asked == other.asked
    assert one.reply != other.reply
    with_system = chat("what is a parrot?", "A bird.")
    with_system = replace(with_system, messages=(Message("system", "Be brief."), *with_system.messages))
    assert row_checks(with_system, Context()).asked != one.asked


def test_an_echo_is_told_by_its_words_alone() -> None:
    assert is_echo(chat("Say: yes!", "say yes"))
    assert is_echo(chat("!!!", "!!!"))
    assert not is_echo(chat("!!!", "???"))
    assert not is_echo(chat("Say yes", "no say"))


def test_markers_are_given_once_each() -> None:
    assert markers_in(["[INST] a [/INST] [INST]", "b"]) == ["[INST]", "[/INST]"]


def test_the_share_of_cjk_is_of_letters() -> None:
    assert cjk_share("鹦鹉 ab 12 !?") == pytest.approx(0.5)
    assert cjk_share("parrot") == 0


def test_what_is_learned_is_counted_in_characters() -> None:
    call = ToolCall("look", {"a": 1})
    turns = (
        Message("user", "12345"),
        Message("assistant", "123", reasoning="1234567"),
        Message("user", "1"),
        Message("assistant", "12", calls=(call,)),
    )
    one = Example("0" * 16, turns, "a:1")
    call_characters = len("look") + len('{"a": 1}')
    assert learned_characters(one, "all", "learn") == 3 + 7 + 2 + call_characters
    assert learned_characters(one, "all", "mask") == 3 + 2 + call_characters
    assert learned_characters(one, "last", "learn") == 2 + call_characters
    assert learned_characters(replace(one, messages=(*turns[:3], replace(turns[3], weight=0.0))), "all", "mask") == 3
    assert learned_characters(replace(chat("a", "123"), rejected=Message("assistant", "12")), "all", "learn") == 5
    assert learned_characters(Example("0" * 16, (), "a:1", texts=("12345",)), "all", "learn") == 5
    assert learned_characters(Example("0" * 16, (), "a:1", texts=("12345",), label="x"), "all", "learn") == 0


def test_thirteen_words_of_a_question_are_a_passage_and_twelve_are_none() -> None:
    passages = passages_of([("rhyme.txt:1", RHYME)], 13)
    words = RHYME.split()
    assert passages.owner_in(f"He said: {' '.join(words[4:17]).upper()}!") == "rhyme.txt:1"
    assert passages.owner_in(" ".join(words[4:16])) is None
    assert passages.owner_in(" ".join(reversed(words))) is None
    context = pickle.loads(pickle.dumps(Context(passages)))
    assert row_checks(chat("What does it say?", RHYME), context).flags == Flag.CONTAMINATED
    assert row_checks(chat("What does it say?", "Nothing."), context).flags == 0


def test_a_shorter_question_counts_only_as_a_whole_turn() -> None:
    passages = passages_of([("a:1", "Where do parrots live?"), ("a:2", "鹦鹉住在哪里")], 13)
    assert passages.owner_in("where do parrots live") == "a:1"
    assert passages.owner_in("Tell me, where do parrots live?") is None
    assert passages.owner_in("鹦鹉住在哪里？") == "a:2"
    assert passages_of([], 13).owner_in("where do parrots live") is None


def test_hashes_of_runs_do_not_meet_by_chance() -> None:
    chance = np.random.default_rng(0)
    words = [str(number) for number in chance.integers(0, 1000, 100_000)]
    runs = {tuple(words[place : place + 5]) for place in range(len(words) - 4)}
    assert len(np.unique(passage_hashes(words, 5))) == len(runs)
