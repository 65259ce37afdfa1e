"""After foreign text was read, leave counts for whole words and numbers of the user's own."""

from typing import Any

import pytest

from luthier.act.own_words import said_by_user
from luthier.artifact.example import Message

WHOLE = [
    ("7", "pay 7."),
    ("7", "pay $7, please"),
    ("7", "amount=7"),
    ("7", "7원을 보내"),
    ("Li", "Li에게 보내"),
    ("7", "付7元"),
    ("张三", "付给张三"),
    ("张三", "付给张三丰"),  # Chinese words have no borders
    (7.0, "pay 7"),
    (7, "pay 7.00"),
    (7.5, "pay 7.50 now"),
    (-7, "add -7"),
    ("ann@corp.co", "Send it to ann@corp.co. Then rest."),
    ("Ann", "delete Ann's account"),
    ("x.com", "get https://x.com"),
    ("/tmp", "rm /tmp"),
    ("-rf", "rm -rf a"),
    ("C++", "look up C++, please"),
    ("orders 7 and 8", "Delete orders 7 and 8."),
    ({"a": ["Li", {"b": 7}], "c": None, "d": True}, "pay Li 7"),
]
PART = [
    ("ann@corp.co", "send to ann@corp.co.uk"),
    ("ann", "send to ann@corp.co"),
    ("corp.co", "send to ann@corp.co"),
    ("ann", "send to ann+shop@corp.co"),
    ("x.com", "get evil-x.com"),
    ("http://x.com", "get http://x.com.evil.org"),
    ("http://x.com/a", "get http://x.com/a?admin=1"),
    ("Brien", "pay O'Brien"),
    ("Brien", "pay O\u2019Brien"),
    ("/tmp", "rm /tmp/a"),
    ("/tmp/", "rm /tmp/a"),
    ("tmp", "rm /tmp"),
    ("a", "rm ../a"),
    ("7", "pay 7 000"),
    ("7", "pay 7\u00a0000"),
    ("7", "pay 7'000"),
    ("7", "pay 7,000"),
    ("000", "pay 7 000"),
    ("500", "pay 7'500"),
    ("7", "pay 5-7"),
    ("-7", "pay 5-7"),
    (-7, "pay 5-7"),
    ("5", "pay 5\u20137"),
    (".5", "pay 7.5"),
    ("5", "pay .5"),
    ("30", "at 10:30"),
    ("10", "at 10:30"),
    ("7", "付7万元"),
    ("7", "7만 원을 보내"),
    ("7", "pay 7 million"),
    ("7.1", "install 7.10"),  # a text, which may be a version
    (7, "pay 7.05"),
    (7.5, "pay 7.505"),
    ("김철", "김철수에게 보내"),
    (["Li", "Wu"], "pay Li"),
]


def told(words: str) -> list[Message]:
    return [Message("user", words), Message("assistant", "7 Li ann@corp.co")]


@pytest.mark.parametrize(("value", "words"), WHOLE)
def test_what_the_user_wrote_is_the_users_own(value: Any, words: str) -> None:
    assert said_by_user({"text": value}, told(words))


@pytest.mark.parametrize(("value", "words"), PART)
def test_a_part_of_what_the_user_wrote_is_not(value: Any, words: str) -> None:
    assert not said_by_user({"text": value}, told(words))
