"""Documents are data: template tokens are taken out of what a generator reads, and orders in them are told apart.

A sentence of a document that speaks to the machine ("ignore the instructions above") is never repeated as if the answer
said it: it is shown as quoted text.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from luthier.answer.passage import Passage
from luthier.measure.sentences import Span

TEMPLATE_TOKEN = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|</?(?:think|tool_call|tool_response)>",
    re.I,
)
"""What a chat template would read as a turn's begin or end."""
HIDDEN = re.compile(
    "[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
"""Letters that nobody sees, but a model reads, and marks that turn the direction of writing."""
JOINING = re.compile("[\u034f\u200c\u200d\ufe00-\ufe0f]")
"""Unseen too, but Persian words and emoji are written with them: they stay in a text."""


@cache
def _orders() -> re.Pattern[str]:
    lines = (Path(__file__).parent / "orders.txt").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | re.MULTILINE)


def is_order(sentence: str) -> bool:
    """Whether a sentence speaks to the machine that reads it."""
    sentence = JOINING.sub("", HIDDEN.sub("", sentence))
    return bool(_orders().search(sentence)) or bool(TEMPLATE_TOKEN.search(sentence))


def plain_text(text: str) -> str:
    """Give a text without what a chat template would read as its own, and without letters that nobody sees."""
    before, text = None, HIDDEN.sub("", text)
    while before != text:  # what is left may be a token again: <|im_<|x|>end|>
        before, text = text, TEMPLATE_TOKEN.sub("", text)
    return text


def as_written(text: str, span: Span) -> Span:
    """Give where a part stands in a text, from where it stands in the same text without what nobody sees."""
    if not HIDDEN.search(text):
        return span
    seen = [place for place, letter in enumerate(text) if not HIDDEN.match(letter)]
    return seen[span[0]], seen[span[1] - 1] + 1


def numbered(passages: Sequence[Passage], first: int = 1) -> str:
    """Give passages as a prompt shows them: a number, where it stands, and the text in quotation marks."""
    return "\n\n".join(
        f"[{number}] ({_place(passage)})\n«{inside(passage.read)}»" for number, passage in enumerate(passages, first)
    )


def _place(passage: Passage) -> str:
    """Say where a passage stands, in one line, without headings that speak to the machine."""
    headings = tuple(heading for heading in passage.chunk.heading if not is_order(heading))
    said = replace(passage, chunk=replace(passage.chunk, heading=headings)).label()
    return " ".join(inside(said).split())


def inside(text: str) -> str:
    """Give a text as it stands within quotation marks: it ends where we end it."""
    return plain_text(text).replace("«", "‹").replace("»", "›")
