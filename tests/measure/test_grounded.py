"""Figures of grounded answers, against hand calculations."""

from typing import Any

import pytest

from luthier.measure.grounded import (
    NOT_FOUND,
    abstention,
    answer_relevance,
    citation_precision,
    citation_recall,
    context_precision,
    faithfulness,
    is_not_found,
)

BUILT = "The red bridge was built in 1901."
ARCHES = "It has twelve arches of stone."
FALSE = "Napoleon sailed there once with elephants."


def details(passages: list[tuple[str, float]], cited: list[tuple[str, list[str]]]) -> dict[str, Any]:
    quotes = list(dict.fromkeys(quote for _, found in cited for quote in found))
    sources = [
        {"number": number, "quotes": [{"span": [0, len(quote)], "text": quote}]}
        for number, quote in enumerate(quotes, 1)
    ]
    sentences = [
        {"text": text, "sources": [{"number": quotes.index(quote) + 1, "span": [0, len(quote)]} for quote in found]}
        for text, found in cited
    ]
    return {
        "passages": [{"text": text, "score": score} for text, score in passages],
        "sources": sources,
        "sentences": sentences,
    }


def test_faithfulness_is_the_share_of_sentences_that_are_carried() -> None:
    read = details([(f"{BUILT} {ARCHES}", 1.0)], [])
    answer = f"{BUILT[:-1]} [1]. {FALSE} {ARCHES} [1] Yes."
    assert faithfulness("q", answer, "", read) == pytest.approx((2 / 3, 1.0))
    assert faithfulness("q", answer, "", {}) == (0.0, 0.0)  # nothing was read: nothing can be said
    assert faithfulness("q", NOT_FOUND["en"], "", read) == (0.0, 0.0)


def test_answer_relevance_is_the_share_of_the_question_that_is_spoken_of() -> None:
    question = "When was the red bridge of Hamburg built?"  # red, bridge, hamburg, built
    assert answer_relevance(question, BUILT, "", {}) == pytest.approx((3 / 4, 1.0))
    assert answer_relevance(question, NOT_FOUND["en"], "", {}) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ((3.0, 2.0, 1.0), (1 / 1 + 2 / 2) / 2),  # built, arches, false: the first two are relevant
        ((1.0, 2.0, 3.0), (1 / 2 + 2 / 3) / 2),  # false first
        ((3.0, 1.0, 2.0), (1 / 1 + 2 / 3) / 2),
    ],
)
def test_context_precision_goes_by_the_places_of_what_is_relevant(scores: tuple[float, ...], wanted: float) -> None:
    read = details(list(zip((BUILT, ARCHES, FALSE), scores, strict=True)), [])
    assert context_precision("q", "", f"{BUILT} {ARCHES}", read) == pytest.approx((wanted, 1.0))
    assert context_precision("q", "", "Cats purr at night.", read) == (0.0, 1.0)
    assert context_precision("q", "", NOT_FOUND["zh"], read) == (0.0, 0.0)


def test_citation_recall_asks_whether_what_is_cited_carries_the_sentence() -> None:
    cited = details([], [(BUILT, [BUILT]), (FALSE, [BUILT]), (ARCHES, []), ("Yes.", [])])
    assert citation_recall("q", "", "", cited) == pytest.approx((1 / 3, 1.0))
    assert citation_recall("q", "", "", {}) == (0.0, 0.0)


def test_citation_precision_asks_whether_each_is_needed() -> None:
    """By hand: of four citations the first is needed; the idle one is not; none of the false sentence's is."""
    cited = details([], [(BUILT, [BUILT, ARCHES]), (FALSE, [ARCHES])])
    assert citation_precision("q", "", "", cited) == pytest.approx((1 / 3, 1.0))
    both = "The red bridge, built in 1901, has twelve arches of stone."
    together = details([], [(both, ["It was built in 1901", "twelve arches of stone"])])
    assert citation_precision("q", "", "", together) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        (NOT_FOUND["en"], NOT_FOUND["zh"], 1.0),
        (BUILT, BUILT, 1.0),
        (BUILT, NOT_FOUND["en"], 0.0),
        (NOT_FOUND["en"], BUILT, 0.0),
    ],
)
def test_abstention_is_right_where_the_reference_abstains_too(answer: str, reference: str, right: float) -> None:
    assert abstention("q", answer, reference, {}) == (right, 1.0)
    assert abstention("q", "Sorry.", NOT_FOUND["en"], {"abstained": True}) == (1.0, 1.0)


def test_only_the_sentence_itself_says_that_nothing_was_found() -> None:
    assert all(is_not_found(text) for text in (*NOT_FOUND.values(), " “This is not in the documents” "))
    assert is_not_found("The money back is not in the documents.")
    assert not is_not_found("This is not in the documents. But I know it.")
    assert not is_not_found("I know it. But this is not in the documents.")
