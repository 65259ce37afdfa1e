"""Text that was read with a wrong encoding once: found, and mended where nothing was lost.

ftfy mends UTF-8 that was read as a Western encoding (`Ã©`, `è¿™æ˜¯`); Chinese that went through a wrong Chinese
encoding is mended here: UTF-8 read as GBK (`鍦ㄦ槸`), GBK read as Latin-1 (`ÖÐ¹úÈË`). Text that went right is never
touched: a piece is rewritten only if all of it decodes strictly, from rare characters to common ones.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from luthier.prepare.clean import needs
from luthier.prepare.clean.common_han import HAN, common_han, common_share

_LOST = re.compile(
    "\ufffd+"  # what decoders put in the place of bytes they cannot read
    "|锟斤拷|锟斤|斤拷锟"  # U+FFFD twice, written as UTF-8 and read as GBK
    "|烫{4,}|烫{3}(?![烫！!，,。.~～])|屯{3,}"  # memory that was never written, 0xCC and 0xCD, read as GBK
    "|ï¿½"  # U+FFFD, written as UTF-8 and read as Latin-1
)
_ABOUT = re.compile(r"乱码|编码|字符集|mojibake|encod|unicode|utf-?8|character set|\bgbk\b|latin-1", re.IGNORECASE)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_HIGH_LATIN = re.compile("[\xa1-\xff]")
_LEAST_HIGH = 6
"""Letters beyond ASCII that a text of Latin-1 has before it may be Chinese: three characters."""
_READABLE = re.compile(
    "[\xa1-\xff\u2010-\u2044\u20ac\u2122\u2190-\u22ff\u2460-\u27bf\u3000-\u303f\u3041-\u30ff\uff01-\uff5e"
    "\U0001f300-\U0001faff]"
)
"""What may stand beside Chinese in mended text: accents, marks, arrows, signs, kana, full-width forms, emoji."""
_MOST = 0.85
_DOUBTFUL_SHARE = 0.75
"""Below this share of common characters, text that also decodes strictly into common ones is mended."""
_RARE_SHARE = 0.5
"""Below this one, Chinese is not what it was written as, mendable or not."""
_LEAST_HAN = 8
"""Han characters from which a text is held against that share though it cannot be mended."""


@dataclass(frozen=True)
class Checked:
    """A text, and what was wrong with it."""

    text: str
    """As well mended as it can be."""
    mended: int
    """How many pieces were mended."""
    lost: int
    """How many places are left that nobody can mend."""


def is_about_encodings(texts: list[str]) -> bool:
    """Whether a row speaks of encodings: what looks damaged in it is meant."""
    return any(_ABOUT.search(text) for text in texts)


def check(text: str) -> Checked:
    """Find the damage in a text, and mend what can be mended: the whole if it all is damaged alike, else its parts."""
    if text.isascii():
        return Checked(text, 0, 0)
    new, mended = _in_parts(text, _from_latin) if len(_HIGH_LATIN.findall(text)) >= _LEAST_HIGH else (text, 0)
    # ftfy would write U+FFFD, which it cannot mend, as a control character
    if "\ufffd" not in new and _ftfy().badness.is_bad(new):
        better = str(_ftfy().fix_encoding(new, _western()))
        mended += better != new
        new = better
    lost = 0
    if common_share(new) < 1:
        new, counted = _in_parts(new, _from_gbk)
        mended += counted
        # Where some lines were mended, the others were read the same way: fewer characters prove it
        lost = _left_as_gbk([new], _LEAST_HAN) or (_left_as_gbk(new.split("\n"), 2) if counted else 0)
    return Checked(new, mended, lost + len(_LOST.findall(new)))


def _left_as_gbk(texts: list[str], least: int) -> int:
    """Count the texts of so many Han characters that are made of rare ones."""
    return sum(1 for text in texts if len(HAN.findall(text)) >= least and common_share(text) < _RARE_SHARE)


def _in_parts(text: str, mend: Callable[[str], str | None]) -> tuple[str, int]:
    """Mend the whole text, or each of its lines, or each run beyond ASCII in them; count what was mended."""
    whole = mend(text)
    if whole is not None:
        return whole, 1
    count = 0

    def run(match: re.Match[str]) -> str:
        nonlocal count
        new = mend(match.group())
        count += new is not None
        return match.group() if new is None else new

    lines: list[str] = []
    for line in text.split("\n"):
        new = mend(line)
        count += new is not None
        lines.append(_BEYOND_ASCII.sub(run, line) if new is None else new)
    return ("\n".join(lines) if count else text), count


def _from_latin(text: str) -> str | None:
    """GBK read as Latin-1; None for text that is not that for sure."""
    if len(_HIGH_LATIN.findall(text)) < _LEAST_HIGH:
        return None
    try:
        written = text.encode("latin-1")
        new = written.decode("gbk")
    except UnicodeError:
        return None
    if _is_utf8(written):
        return None
    return new if len(HAN.findall(new)) >= 2 and _is_readable(new) else None


def _from_gbk(text: str) -> str | None:
    """UTF-8 read as GBK; None for text that is not that for sure."""
    if common_share(text) >= _DOUBTFUL_SHARE:
        return None
    try:
        new = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return None
    # Two bytes a character are too few to be sure: one rare Han character may happen to be two such bytes
    return new if _is_readable(new) and max(new) >= "\u0800" else None


def _is_utf8(written: bytes) -> bool:
    try:
        written.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _is_readable(text: str) -> bool:
    """Whether most of what is beyond ASCII is common Chinese or what stands beside it."""
    total = sum(map(len, _BEYOND_ASCII.findall(text)))
    found = len(common_han().findall(text)) + len(_READABLE.findall(text))
    return total > 0 and found >= _MOST * total


@cache
def _ftfy() -> Any:
    return needs.load("ftfy", "clean.encoding")


@cache
def _western() -> Any:
    """ftfy's settings: encodings only, and nothing guessed in the place of what is lost."""
    return _ftfy().TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        replace_lossy_sequences=False,
        normalization=None,
    )
