"""A knowledge base as a `ChatModel`: streams, details, stop strings, refusals, confidence."""

from collections.abc import Mapping
from typing import Any

import pytest
from made_index import MadeIndex, Scripted, ask

from luthier.answer.confidence import calibrate
from luthier.answer.knowledge import KnowledgeModel
from luthier.answer.opening import open_knowledge
from luthier.answer.spec import AnswerSpec
from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import ChatModel, Concurrent, Sampling
from luthier.errors import DataError
from luthier.event import Chose, Event, hush

DOCUMENTS = {"a.txt": "The bridge was built in 1901. It has 12 arches. It is red."}


def opened(
    say: Scripted | None = None, traces: list[Mapping[str, Any]] | None = None, **settings: Any
) -> KnowledgeModel:
    keep = (traces if traces is not None else []).append
    return open_knowledge(
        "kb",
        AnswerSpec(**settings),
        MadeIndex(DOCUMENTS),
        say,
        threshold=None,
        has_embedder=False,
        keep=keep,
        tell=hush,
    )


def asked(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def test_it_is_a_chat_model() -> None:
    assert isinstance(opened(), ChatModel)


def test_a_stream_gives_checked_sentences_and_the_same_text_as_answer() -> None:
    writer = Scripted(lambda heard: "The bridge was built in 1901 [1]. It has 99 arches. It is red.")
    model = opened(writer)
    pieces = list(model.stream(asked("When was the bridge built?"), Sampling(), lambda: False))
    assert [piece.text for piece in pieces] == [
        "The bridge was built in 1901. [1]",
        " It has 99 arches. [no source]",
        " It is red. [1]",
        "",
    ]
    assert pieces[-1].answer is not None
    [whole] = model.answer([asked("When was the bridge built?")], Sampling())
    assert whole == pieces[-1].answer
    assert set(whole.details) == {
        "sources",
        "sentences",
        "abstained",
        "other_language",
        "confidence",
        "threshold",
        "passages",
        "found",
    }


def test_a_cancelled_stream_ends_without_an_answer() -> None:
    pieces = list(opened().stream(asked("When was the bridge built?"), Sampling(), lambda: True))
    assert pieces == []


def test_a_stop_string_ends_the_answer() -> None:
    [answer] = opened().answer([asked("When was the bridge built?")], Sampling(stop=("1901",)))
    assert answer.text == "The bridge was built in "


def test_an_answer_without_a_generator_is_cut_at_about_max_tokens() -> None:
    """By hand: at 1.4 tokens a word and one more, four words are 6 tokens and five are 8."""
    [whole] = opened().answer([asked("When was the bridge built?")], Sampling(max_tokens=100))
    [short] = opened().answer([asked("When was the bridge built?")], Sampling(max_tokens=6))
    assert (whole.finish, short.finish) == ("stop", "length")
    assert whole.text.startswith(short.text)
    assert short.text.split() == ["The", "bridge", "was", "built"]


def test_it_is_as_concurrent_and_as_well_as_its_generator_and_closes_it() -> None:
    class Busy(Scripted):
        at_once = 7
        closed = False

        def ailing(self) -> str:
            return "it coughs"

        def close(self) -> None:
            self.closed = True

    generator = Busy(lambda _: "It is red.")
    model = opened(generator)
    assert isinstance(model, Concurrent)
    assert (model.at_once, model.ailing()) == (7, "it coughs")
    model.close()
    assert generator.closed
    assert (opened().at_once, opened().ailing()) == (4, "")


def test_wishes_reach_the_generator() -> None:
    heard: list[Sampling] = []

    class Listening(Scripted):
        def stream(self, prompt: Any, sampling: Sampling, cancelled: Any) -> Any:
            heard.append(sampling)
            return super().stream(prompt, sampling, cancelled)

    opened(Listening(lambda _: "It is red.")).answer(
        [asked("What colour is the bridge?")], Sampling(temperature=0.5, seed=3)
    )
    assert (heard[0].temperature, heard[0].seed, heard[0].max_tokens) == (0.5, 3, 256)


def test_the_asker_s_system_message_reaches_the_generator() -> None:
    writer = Scripted(lambda _: "It is red.")
    opened(writer).answer([(Message("system", "Be brief."), *asked("What colour is the bridge?"))], Sampling())
    assert writer.heard[0].startswith("Be brief.\nYou answer from the numbered quotations only.")


def test_what_is_not_in_the_documents_is_said_to_be_so() -> None:
    answer, steps = ask("Who won the football cup of Brazil?", DOCUMENTS, lambda heard: "Brazil won.")
    assert answer.text == "This is not in the documents."
    assert answer.details["abstained"]
    assert not [step for step in steps if step["step"] == "generate"]  # the generator is not even asked
    assert answer.details["confidence"] < answer.details["threshold"]


@pytest.mark.parametrize(
    ("prompt", "what", "where"),
    [
        (asked("x" * 100_000), "the question has 100000 characters, at most 8000 are read", "the question"),
        (asked("  "), "the question is empty", "the question"),
        ((1, 2, 3), "a knowledge base answers questions", "the prompt"),
        ((), "a knowledge base answers questions", "the prompt"),
        ((*asked("a"), Message("assistant", "b")), "a knowledge base answers questions", "the prompt"),
        (Conversation(asked("a"), ({"type": "function"},)), "the request offers tools", "request body, key tools"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_anything_is_said(prompt: Any, what: str, where: str) -> None:
    with pytest.raises(DataError) as caught:
        opened().stream(prompt, Sampling(), lambda: False)
    assert caught.value.what.startswith(what)
    assert caught.value.where == where
    assert caught.value.mend


def test_a_plain_text_is_a_question() -> None:
    [answer] = opened().answer(["When was the bridge built?"], Sampling())
    assert answer.text.startswith("The bridge was built in 1901.")


def test_automatic_choices_are_told(told: list[Event]) -> None:
    index = MadeIndex(DOCUMENTS)
    open_knowledge(
        "kb", AnswerSpec(), index, None, threshold=None, has_embedder=False, keep=lambda _: None, tell=told.append
    )
    assert {(event.what, event.value) for event in told if isinstance(event, Chose)} == {
        ("search.way", "bm25"),
        ("synthesis", "extract"),
        ("rerank", "none"),
        ("threshold", "0.3"),
    }


def test_an_answer_is_taken_from_an_earlier_trace_where_the_prompt_is_the_same() -> None:
    traces: list[Mapping[str, Any]] = []
    first = opened(Scripted(lambda _: "It is red."), traces).reply(asked("What colour is the bridge?"), Sampling())
    silent = Scripted(lambda _: "I was asked again.")
    steps = tuple(traces[0]["steps"])
    again = opened(silent).reply(asked("What colour is the bridge?"), Sampling(), recorded=steps)
    assert (again.text, silent.heard) == (first.text, [])
    other = opened(silent, synthesis="combine").reply(asked("What colour is the bridge?"), Sampling(), recorded=steps)
    assert silent.heard
    assert other.text != first.text


def test_a_threshold_is_found_in_the_middle_of_the_gap() -> None:
    """By hand: all answerable lie at 0.6 and above, all others at 0.4 and below; both sides are told apart wholly."""
    found = calibrate([0.6, 0.7, 0.8, 0.9, 0.65], [0.1, 0.2, 0.3, 0.4, 0.35])
    assert found.threshold == pytest.approx(0.5)
    assert (found.balanced_accuracy, found.auroc, found.low, found.high) == (1.0, 1.0, 1.0, 1.0)


def test_a_threshold_where_the_sides_overlap() -> None:
    """By hand: at 0.45 four of five answerable are above and four of five others below; AUROC is 22 of 25 pairs."""
    found = calibrate([0.3, 0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.25, 0.4, 0.65])
    assert found.balanced_accuracy == pytest.approx(0.8)
    assert found.auroc == pytest.approx(
        sum(y > n for y in (0.3, 0.5, 0.6, 0.7, 0.8) for n in (0.1, 0.2, 0.25, 0.4, 0.65)) / 25
    )
    assert found.low < 0.8 <= found.high


def test_too_few_questions_find_no_threshold() -> None:
    with pytest.raises(DataError) as caught:
        calibrate([0.5] * 9, [0.1] * 4)
    assert caught.value.what.startswith("9 questions are answerable and 4 are not")
    assert caught.value.where == "key tune"
    assert "five of each" in caught.value.mend
