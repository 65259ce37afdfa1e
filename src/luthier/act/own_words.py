"""Whether what a call is made with stands in the user's own words: whole, not as a part of something else."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.artifact.example import Message

UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"
"""Chinese and Japanese: their words have no borders, so that a part of one passes."""
HANGUL = r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
"""Korean: its endings are written onto names and numbers of another script, which end there."""
DASH = "-\u2013\u2212"
INNER = rf"[{DASH}@'\u2019+&%]"
"""With a letter on either side it holds a word, an address or a number together."""
MULTIPLE = r"\s?(?:[十百千万萬亿億兆십백천만억조]|(?:hundred|thousand|million|billion)\b)"
GAP = r"(?:[^\S\n]|[,'\u2019])"
"""Between groups of three digits."""


def said_by_user(arguments: Any, talk: Sequence[Message]) -> bool:
    """Whether every text and number in the arguments stands in what the user wrote: whole, not as a part of another."""
    words = "\n".join(turn.content for turn in talk if turn.role in ("user", "system")).casefold()
    return all(re.search(pattern, words) for value in _leaves(arguments) if (pattern := _whole(value)))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [] if value is None or isinstance(value, bool) or value == "" else [value]


def _whole(value: Any) -> str:
    """Give the pattern of a text, or of a number however many zeros end it, that is no part of another."""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).casefold()
    zeros = "" if isinstance(value, str) else "0*" if "." in text else r"(?:\.0+)?"
    return _before(text) + re.escape(text) + zeros + _after(text)


def _before(text: str) -> str:
    letter = _letter(text[0])
    pattern = rf"(?<!{letter})(?<!{letter}{INNER})(?<![.\\])(?<!(?<!/)/)"
    if text[0].isdigit():
        pattern += rf"(?<!\d[.,:])(?<![{DASH}])"
    return pattern + (rf"(?<!\d{GAP})" if re.match(r"\d{3}(?!\d)", text) else "")


def _after(text: str) -> str:
    pattern = rf"(?!{_letter(text[-1])})(?![.@/\\?#&%=+{DASH}]\w)"
    return pattern + (rf"(?![.,:]\d)(?!{GAP}\d{{3}}(?!\d))(?!{MULTIPLE})" if text[-1].isdigit() else "")


def _letter(edge: str) -> str:
    """Give the letters that would go on a word which begins or ends so."""
    if re.match(f"[{UNSPACED}]", edge):
        return r"[^\s\S]"
    return rf"[^\W{UNSPACED}]" if re.match(f"[{HANGUL}]", edge) else rf"[^\W{UNSPACED}{HANGUL}]"
