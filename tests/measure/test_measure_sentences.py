from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.measure.sentences import sentences


def split(text: str) -> list[str]:
    return [text[begin:end] for begin, end in sentences(text)]


# From the "golden rules" of sentence splitting (Dias, pragmatic_segmenter), English and Chinese
GOLDEN = [
    ("Hello World. My name is Jonas.", ["Hello World.", "My name is Jonas."]),
    ("What is your name? My name is Jonas.", ["What is your name?", "My name is Jonas."]),
    ("There it is! I found it.", ["There it is!", "I found it."]),
    ("My name is Jonas E. Smith.", ["My name is Jonas E. Smith."]),
    ("Please turn to p. 55.", ["Please turn to p. 55."]),
    ("Were Jane and co. at the party?", ["Were Jane and co. at the party?"]),
    ("They closed the deal with Pitt, Briggs & Co. It closed yesterday.",
     ["They closed the deal with Pitt, Briggs & Co.", "It closed yesterday."]),
    ("Let's ask Jane and co. They should know.", ["Let's ask Jane and co.", "They should know."]),
    ("特点如下：1. 占用大；2. 动态变化。需要管理。", ["特点如下：1. 占用大；2. 动态变化。", "需要管理。"]),
    ("The answer is: 42. The next one follows.", ["The answer is: 42.", "The next one follows."]),
    ("合计：12. 另外一句。", ["合计：12.", "另外一句。"]),
    ("I can see Mt. Fuji from here.", ["I can see Mt. Fuji from here."]),
    ("St. Michael's Church is on 5th st. near the light.", ["St. Michael's Church is on 5th st. near the light."]),
    ("That is JFK Jr.'s book.", ["That is JFK Jr.'s book."]),
    ("I never meant that.... She left the store.", ["I never meant that....", "She left the store."]),
    ("She has $100.00 in her bag.", ["She has $100.00 in her bag."]),
    ("She has $100.00. It is in her bag.", ["She has $100.00.", "It is in her bag."]),
    ("He teaches science (He previously worked for 5 years as an engineer.) at the local University.",
     ["He teaches science (He previously worked for 5 years as an engineer.) at the local University."]),
    ("She turned to him, \"This is great.\" She held the book out.",
     ["She turned to him, \"This is great.\"", "She held the book out."]),
    ("安永已聯繫周怡安親屬，協助辦理簽證相關事宜，周怡安家屬1月1日晚間搭乘東方航空班機抵達上海。",
     ["安永已聯繫周怡安親屬，協助辦理簽證相關事宜，周怡安家屬1月1日晚間搭乘東方航空班機抵達上海。"]),
    ("我们去看电影好吗？好！走吧。", ["我们去看电影好吗？", "好！", "走吧。"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), GOLDEN)
def test_golden_rules_of_sentence_splitting_hold(text: str, wanted: list[str]) -> None:
    assert split(text) == wanted


def test_closing_quotes_stay_with_their_sentence() -> None:
    assert split("他说：“走吧。”我们走了。") == ["他说：“走吧。”", "我们走了。"]


def test_lists_headings_and_paragraphs_end_sentences_and_wrapped_lines_do_not() -> None:
    text = "# Rules of the house\nA line that is\nwrapped goes on. Next\n\n- one\n- two\n1. first\n2. second"
    assert split(text) == [
        "# Rules of the house",
        "A line that is\nwrapped goes on.",
        "Next",
        "- one",
        "- two",
        "1. first",
        "2. second",
    ]


@given(st.text(st.characters(codec="utf-8")) | st.text("a.B !?\n-1#。”Dr"))
def test_every_letter_lies_in_one_sentence_and_none_in_two(text: str) -> None:
    spans = sentences(text)
    assert all(begin < end for begin, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    assert "".join("".join(text[begin:end] for begin, end in spans).split()) == "".join(text.split())
