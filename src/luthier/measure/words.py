"""The one tokenizer of texts: CJK by the character, everything else by the word.

ROUGE, BM25 and de-duplication share it, so they mean the same by "word". On ASCII text it gives exactly the tokens of
Google's `rouge-score` without stemming: runs of a-z and 0-9, lower-cased, everything else being a gap. It needs no
dictionary. Scripts that are written without spaces and are not CJK (Thai, Lao, Khmer, Burmese) come out as one word
a run.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from operator import add
from typing import Literal

HAN = (
    "\u3005-\u3007"  # iteration mark, closing mark, zero
    "\u3021-\u3029\u3038-\u303b"  # Suzhou numerals
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # extension A, unified, compatibility
    "\U00020000-\U0003fffd"  # extensions B and on: planes 2 and 3 hold nothing else
)
KANA = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # the katakana middle dot U+30FB is a gap
    "\U0001aff0-\U0001b16f"
)
BOPOMOFO = "\u02ea\u02eb\u3105-\u312f\u31a0-\u31bf"
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"
CJK = HAN + KANA + BOPOMOFO + HANGUL
"""Unicode ranges, as in a regular expression's brackets, of what counts as a word by itself."""

Script = Literal["latin", "chinese", "other_cjk"]
"""How a text is written, as far as tokenizers care: with spaces; mostly Han; mostly kana or Hangul."""

# Shown as nothing, but they would split a word or make two spellings of it: soft hyphen, Mongolian and other
# variation selectors, zero-width joiners, word joiner, byte order mark.
_INVISIBLE = re.compile("[\u00ad\u180b-\u180f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]+")
# What most texts are made of: ASCII, Han, and marks that are gaps whatever NFKC makes of them. Nothing is to be folded.
_PLAIN = re.compile(
    "[\x00-\x7f\u00a0\u2010-\u2016\u2018-\u2026\u3000-\u3003\u3008-\u3011\u4e00-\u9fff"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff5e]+"
)
_ASCII = re.compile("[a-z0-9]+")
_BEYOND_ASCII = "\x80"
_HAN = re.compile(f"[{HAN}]")
_CJK = re.compile(f"[{CJK}]")
_LAST_WITH_MARKS = 0x1E94A
"""The highest combining mark of a script (Adlam); above it stand only the variation selectors."""


def words(text: str, *, bigrams: bool = False) -> list[str]:
    """Give the words of a text, lower-cased, in their order.

    Each CJK character is a word (see `CJK` for the ranges); other letters and digits go by runs, together with their
    combining marks, so that Devanagari or decomposed accents do not fall apart. The text is brought to Unicode's NFKC
    and case-folded first: full-width "ＡＢＣ" is "abc", half-width katakana is katakana, "ß" is "ss". Punctuation, the
    underscore, symbols and emoji are gaps.

    `bigrams` adds, after each CJK character, the pair it makes with the next one where no gap stands between: what
    retrieval ranks by.
    """
    if text.isascii():
        return _ASCII.findall(text.lower())
    found: list[str] = []
    for run in runs(text):
        if not is_cjk(run):
            found.append(run)
        elif bigrams:
            with_pairs = [""] * (2 * len(run) - 1)
            with_pairs[::2] = run
            with_pairs[1::2] = map(add, run, run[1:])
            found += with_pairs
        else:
            found.extend(run)
    return found


def runs(text: str) -> list[str]:
    """Give the words of a text but for CJK characters, which stay together where no gap stands between them."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    if _PLAIN.fullmatch(text):
        return _pattern().findall(text.lower())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _pattern().findall(_INVISIBLE.sub("", folded))


def beyond_ascii(found: Sequence[str]) -> list[str]:
    """Give those of `runs` that do not begin with a letter or digit of ASCII: in most texts there are few or none."""
    return [run for run in found if run > _BEYOND_ASCII]


def is_cjk(run: str) -> bool:
    """Whether one of `runs` is of CJK characters."""
    return "\u4e00" <= run < "\ua000" or (run > _BEYOND_ASCII and _CJK.match(run) is not None)


def count_words(text: str) -> int:
    """Say how many words `words` would give, in less time."""
    found = runs(text)
    return len(found) + sum(len(run) - 1 for run in beyond_ascii(found) if is_cjk(run))


def script_of(texts: Sequence[str]) -> tuple[Script, str]:
    """Tell how texts are written, and the reason in words: CJK from a tenth of all words on.

    Low, because a tokenizer made for Chinese splits English about as well, and one made for English does not split
    Chinese at all.
    """
    found = [word for text in texts for word in words(text)]
    cjk = [word for word in found if _CJK.fullmatch(word)]
    share = len(cjk) / len(found) if found else 0.0
    why = f"{share:.0%} of {len(found)} words are CJK characters"
    if share < 0.1:
        return "latin", why
    han = sum(1 for word in cjk if _HAN.fullmatch(word)) / len(cjk)
    # Japanese prose is a third to a half Han; Chinese is all Han but for a borrowed word
    return ("chinese" if han > 0.75 else "other_cjk"), f"{why}, {han:.0%} of them Han"


@cache
def _pattern() -> re.Pattern[str]:
    """The two kinds of runs, and before them the commonest, ten times as fast: letters and digits of ASCII alone.

    `\\w` leaves out combining marks: they are added from the interpreter's own tables.
    """
    marks = [chr(code) for code in range(0x300, min(_LAST_WITH_MARKS, sys.maxunicode) + 1) if _is_mark(chr(code))]
    within = "".join(mark for mark in marks if not _CJK.match(mark))
    others = rf"[{CJK}]+|[^\W_{CJK}]+(?:[{within}]+[^\W_{CJK}]*)*"
    return re.compile(rf"[a-z0-9]++(?![^\x00-\x7f])|(?=[a-z0-9\x80-\U0010ffff])(?:{others})")


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc", "Me")
