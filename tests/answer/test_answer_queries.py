"""What is searched for: each way is a row in the table and a line in the trace."""

import pytest
from made_index import MadeIndex, Scripted, ask

from luthier.answer.queries import WAYS
from luthier.artifact.example import Message

DOCUMENTS = {
    "cats.txt": "Cats sleep sixteen hours a day. They purr at 25 hertz.",
    "dogs.txt": "Dogs sleep twelve hours a day. Dogs bark at strangers.",
}


def script(heard: str) -> str:
    rows = {
        "Rewrite the question as a short search query": "cats sleep duration",
        "Write a short passage": "A cat sleeps for sixteen hours.",
        "three other ways": "1. How long is a cat asleep?\n2) Hours of sleep of cats?\n- Do cats sleep long?\nfourth?",
        "simpler questions": "What is a cat?\n\nWhat is sleep?",
        "more general question": "How do animals rest?",
    }
    return next((said for begin, said in rows.items() if begin in heard), "Cats sleep sixteen hours a day.")


@pytest.mark.parametrize(
    ("way", "wanted"),
    [
        ("rewrite", ["cats sleep duration"]),
        ("several", ["How long is a cat asleep?", "Hours of sleep of cats?", "Do cats sleep long?"]),
        ("decompose", ["What is a cat?", "What is sleep?"]),
        ("step_back", ["How do animals rest?"]),
    ],
)
def test_a_way_searches_for_more_than_the_question(way: str, wanted: list[str]) -> None:
    index = MadeIndex(DOCUMENTS)
    _, steps = ask("How long do cats sleep?", index, script, queries=[way])
    assert [question.text for question in index.searched] == ["How long do cats sleep?", *wanted]
    assert [(step["way"], step["text"]) for step in steps if step["step"] == "query"] == [
        ("question", "How long do cats sleep?"),
        *((way, text) for text in wanted),
    ]
    assert any(step["step"] == "join" for step in steps)


def test_hyde_looks_for_the_meaning_of_an_answer_that_might_be() -> None:
    index = MadeIndex(DOCUMENTS)
    ask("How long do cats sleep?", index, script, queries="hyde")
    assert [(each.text, each.passage) for each in index.searched] == [
        ("How long do cats sleep?", None),
        ("How long do cats sleep?", "A cat sleeps for sixteen hours."),
    ]


@pytest.mark.parametrize("way", [name for name, row in WAYS.items() if row.needs_generator])
def test_a_generator_that_writes_nothing_does_no_harm(way: str) -> None:
    answer, steps = ask(
        "How long do cats sleep?",
        DOCUMENTS,
        lambda heard: "Cats sleep sixteen hours a day." if "Quotations" in heard else " \n",
        queries=[way],
    )
    assert answer.text.startswith("Cats sleep sixteen hours a day.")
    assert any(step["step"] == "query" and step["way"] == way and step["text"] is None for step in steps)


HISTORY = (Message("user", "How long do cats sleep?"), Message("assistant", "Sixteen hours."))


def test_a_question_that_leans_on_an_earlier_one_stands_alone_without_a_generator() -> None:
    index = MadeIndex(DOCUMENTS)
    ask((*HISTORY, Message("user", "And at how many hertz do they purr?")), index)
    assert index.searched[0].text == "How long do cats sleep? And at how many hertz do they purr?"


def test_a_question_that_leans_on_nothing_stays_as_it_is() -> None:
    index = MadeIndex(DOCUMENTS)
    ask((*HISTORY, Message("user", "Which animals bark loudly at unknown strangers?")), index)
    assert index.searched[0].text == "Which animals bark loudly at unknown strangers?"


def test_a_generator_rewrites_by_the_history() -> None:
    index = MadeIndex(DOCUMENTS)
    writer = Scripted(
        lambda heard: "At how many hertz do cats purr?" if "Last question" in heard else "They purr at 25 hertz."
    )
    answer, _ = ask((*HISTORY, Message("user", "And at how many hertz do they purr?")), index, writer)
    assert index.searched[0].text == "At how many hertz do cats purr?"
    assert "Sixteen hours." in writer.heard[0]
    assert answer.text == "They purr at 25 hertz. [1]"


def test_rounds_stop_when_all_is_said_and_the_draft_is_carried() -> None:
    index = MadeIndex(DOCUMENTS)
    _, steps = ask("How many hours do cats sleep?", index, rounds=4)
    assert len(index.searched) == 1
    [stop] = [step for step in steps if step["step"] == "stop"]
    assert stop["why"] == "the draft is carried and everything asked for is spoken of"


def test_a_round_finds_what_only_the_draft_names() -> None:
    chain = {
        "who.txt": "The tower of Hill was drawn by Mona Berg.",
        "where.txt": "Mona Berg was born in Oslo, a city.",
    }
    single, _ = ask("Who drew the tower of Hill, and birthplace?", chain, search={"top": 5})
    assert {passage["document"] for passage in single.details["passages"]} == {"who.txt"}
    twice, steps = ask("Who drew the tower of Hill, and birthplace?", chain, rounds=2, search={"top": 5})
    assert {passage["document"] for passage in twice.details["passages"]} == {"who.txt", "where.txt"}
    [query] = [step for step in steps if step["step"] == "query" and step["way"] == "round"]
    assert "Mona Berg" in query["text"]


def test_rounds_stop_when_nothing_new_comes() -> None:
    index = MadeIndex({"a": "The tower of Hill stands."})
    _, steps = ask("Where does the tower of Hill stand, and its height?", index, rounds=5)
    assert [step["why"] for step in steps if step["step"] == "stop"] == ["the round brought nothing new"]
    assert len(index.searched) == 2
