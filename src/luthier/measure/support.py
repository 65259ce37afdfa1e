"""Whether a source carries a sentence: by its words and numbers, without a model.

A careful clerk's check, not a judge's: it finds what a source does not say (names, terms, figures, a denial), and it
cannot tell that the same words were put together to another meaning. It needs nothing but the two texts, so that it can
be made for every sentence of every answer, in every language `words` can split.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from luthier.measure.sentences import Span, sentences
from luthier.measure.words import words

CARRIED = 0.5
"""From this share of a sentence's content on, a source is said to carry it (measured in docs/experiments.md)."""
WINDOW = 3
"""So many neighbouring sentences of a source may carry one sentence together."""

_SMALL = """
a about above after again all also am an and any are as at be because been before being below between both but
by can could did do does doing down during each few for from further had has have having he her here hers him
his how i if in into is it its itself just many me more most much my of off ok okay on once only or other our
out over own please s same she should so some such sure t tell than that the their them then there these they
this those through to too under until up upon very was we were what when where which while who whom why will
with would yes you your yours
"""
_STOP = frozenset(_SMALL.split())
_CJK_STOP = frozenset(
    "的了着过吗呢吧啊呀嘛么是在和与及或也都就而且这那其之于以为被把将对从到等请问您你我他她它们个些哪什怎"
)
_DENIAL_WORDS = frozenset({"not", "no", "never", "cannot", "neither", "nor", "without"})
_DENIAL = re.compile(r"n['’]t\b|[不没未无非勿]|并未|禁止")
_LIST_MARK = re.compile(r"^\s*[（(]?\d{1,2}[.)、）]\s*")
_DIGIT_RUN = re.compile(r"\d+(?:[.,]\d+)*")
_HAN_DIGITS = "零〇一二三四五六七八九"
_HAN_RUN = re.compile(
    f"[{_HAN_DIGITS}十百千万亿两]+(?=[年月日号条款项章节个名人次倍元岁天周米公里吨斤度届]|$)|[{_HAN_DIGITS}十百千万亿两]{{2,}}"
)
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}


@dataclass(frozen=True)
class Support:
    """How much of a sentence a source says, and where."""

    share: float
    """Of the sentence's content words, from 0 to 1; 0 where a number of it is lacking."""
    span: Span
    """Begin and end in the source of the sentences that carry most of it."""
    lacking: tuple[str, ...] = ()
    """Its numbers of which those sentences know nothing; `not` where only one of the two denies."""


NOTHING = Support(0.0, (0, 0))
DENIED = "not"


def support(sentence: str, source: str) -> Support:
    """Say how much of a sentence the best few neighbouring sentences of a source carry."""
    claim = _LIST_MARK.sub("", sentence)
    wanted = content(claim)
    spans = _spans(source)
    if not wanted or not spans:
        return NOTHING
    found = [wanted & content(source[begin:end]) for begin, end in spans]
    best = max(_windows(found), key=lambda window: (window[2], window[0] - window[1]))
    first, last, count = best
    begin, end = spans[first][0], spans[last][1]
    nearest = max(range(first, last + 1), key=lambda place: len(found[place]))
    absent = tuple(sorted(numbers(claim) - numbers(source[begin:end])))
    is_denied = _denies(claim) != _denies(source[slice(*spans[nearest])])
    share = 0.0 if absent else count / len(wanted) * (0.4 if is_denied else 1.0)
    return Support(share, (begin, end), (*absent, *([DENIED] if is_denied else [])))


@lru_cache(maxsize=20_000)
def content(text: str) -> frozenset[str]:
    """Give what a text is about: its words without the small ones, English ones by their stem, CJK ones by pairs."""
    found = words(text, bigrams=True)
    pairs = {word for word in found if len(word) == 2 and not word.isascii() and not (set(word) & _CJK_STOP)}
    covered = set("".join(pairs))
    singles = {
        word
        for word in found
        if not word.isascii() and len(word) == 1 and word not in covered and word not in _CJK_STOP
    }
    latin = {stem(word) for word in found if word not in _STOP and (word.isascii() or len(word) > 2)}
    return frozenset(pairs | singles | latin)


_ENDINGS = {"ations": 4, "ation": 4, "ings": 4, "ing": 4, "ied": 3, "ies": 3, "ed": 3, "es": 3, "ly": 4, "s": 3}
"""Ending -> letters which must stay before it."""


def stem(word: str) -> str:
    """Cut a common English ending off, so that `tables` goes with `table`, and `copied` with `copy`."""
    if not word.isascii():
        return word
    ending = next((end for end, kept in _ENDINGS.items() if word.endswith(end) and len(word) - len(end) >= kept), "")
    return word.removesuffix(ending).rstrip("eyi") or word


def numbers(text: str) -> frozenset[str]:
    """Give the numbers of a text in one spelling: `1,200` and `一千二百` are both 1200."""
    folded = unicodedata.normalize("NFKC", text)
    found = {_plain_number(match.group()) for match in _DIGIT_RUN.finditer(folded)}
    return frozenset(found | {str(_han_number(match.group())) for match in _HAN_RUN.finditer(folded)})


def _plain_number(text: str) -> str:
    whole = re.sub(r",(?=\d{3}(?!\d))", "", text)
    return whole.rstrip("0").rstrip(".") if "." in whole and whole.count(".") == 1 else whole.lstrip("0") or "0"


def _han_number(text: str) -> int:
    if not any(letter in _HAN_UNITS for letter in text):
        return int("".join(str(_digit(letter)) for letter in text))
    total, section, digit = 0, 0, 0
    for letter in text:
        if letter not in _HAN_UNITS:
            digit = _digit(letter)
            continue
        unit = _HAN_UNITS[letter]
        if unit >= 10_000:
            total, section, digit = (total + section + digit) * unit, 0, 0
        else:
            section, digit = section + (digit or 1) * unit, 0
    return total + section + digit


def _digit(letter: str) -> int:
    return 2 if letter == "两" else max(0, _HAN_DIGITS.index(letter) - 1)


def _denies(text: str) -> bool:
    return bool(_DENIAL.search(text)) or bool(_DENIAL_WORDS & set(words(text)))


@lru_cache(maxsize=2_000)
def _spans(source: str) -> tuple[Span, ...]:
    return tuple(sentences(source))


def _windows(found: Sequence[frozenset[str]]) -> Iterable[tuple[int, int, int]]:
    """Give (first, last, how much was found) of every run of up to WINDOW sentences."""
    for first in range(len(found)):
        together: frozenset[str] = frozenset()
        for last in range(first, min(first + WINDOW, len(found))):
            together |= found[last]
            yield first, last, len(together)
