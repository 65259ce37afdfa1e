"""Where sentences begin and end, in Chinese and in scripts with spaces: for citations, compression and the metrics of
grounded answers.

No dictionary and no model: an end mark, what may follow it, and the abbreviations that carry a full stop.
"""

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""Begin and end in characters, as in a slice."""

_CJK_END = r"(?<=[。！？…｡])[。！？…｡]*[”’」』）】》〉\"')\]]*"
_LATIN_END = r"(?<=[.!?])[.!?]*[\"'”’)\]»]*(?=\s|$|[\u4e00-\u9fff])"
_LIST_FOLLOWS = r"(?=\s*(?:[-*+•#>|]|\d{1,3}[.)、]|[（(]?[一二三四五六七八九十]{1,3}[)）、]))"
_LINE_END = rf"(?<=\n)(?:\s*\n|{_LIST_FOLLOWS})"
# the one set of characters in front lets the search leap to the next of them
_END = re.compile(rf"[。！？…｡.!?\n](?:{_CJK_END}|(?P<latin>{_LATIN_END})|{_LINE_END})")
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})\.$")
_MARK_WITHIN = re.compile(r"[:：;；]\s*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})\.(?!\w)")
_LAST_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|\.(?=[^\W\d_]))*\.$")
_NEXT = re.compile(r"\s*[\"'“‘(\[«]*(.)", re.DOTALL)
_HEADING = re.compile(r"^[ \t]*#{1,6} [^\n]*(?=\n)", re.MULTILINE)

_MIDDLE = """
al apr art aug ave bros capt cf ch co col corp dec dept dr ed eds eq esp est etc fig figs feb gen gov hon inc
jan jr jul jun lt ltd mar messrs mr mrs ms mt no nos nov oct op p pp prof rep rev sec sen sep sept sgt sr st
univ vol vs
"""
ABBREVIATIONS = frozenset(_MIDDLE.split())
"""Words that keep their full stop inside a sentence where what follows goes on."""
_BEFORE_NAMES = "mr mrs ms mt dr prof st vs e.g i.e cf fig figs no nos pp eq sen rep gov gen"
NEVER_LAST = frozenset(_BEFORE_NAMES.split())
"""Abbreviations that never end a sentence: a name, a number or an example follows."""
LONGEST_ABBREVIATION = max(len(word) for word in ABBREVIATIONS | NEVER_LAST)


def sentences(text: str) -> list[Span]:
    """Give the span of each sentence, without the white space around it, in their order.

    Spans never overlap, and every character that is not white space lies in one. A line break ends a sentence where a
    list mark, a heading, a table row or an empty line follows; lines that are merely wrapped do not.
    """
    found = []
    begin = 0
    for end in _ends(text):
        if end <= begin:
            continue
        span = _trim(text, begin, end)
        if span:
            found.append(span)
        begin = end
    return found


def _ends(text: str) -> Iterator[int]:
    headings = {match.end() for match in _HEADING.finditer(text)} if "#" in text else ()
    marks = {match.end() for match in _END.finditer(text) if match.lastgroup != "latin" or _closes(text, match)}
    yield from sorted({*marks, *headings, len(text)})


def _closes(text: str, match: re.Match[str]) -> bool:
    """Whether this mark ends a sentence, rather than an abbreviation, an initial or a list's number."""
    begin, end = match.span()
    letter = text[end + 1 : end + 2] if text[end : end + 1] == " " else ""
    if not letter.isalpha():
        following = _NEXT.match(text, end)
        letter = following[1] if following else "A"
    if text[begin] == "." and text[begin + 1 : begin + 2] != ".":
        before = text[max(0, begin - 20) : begin + 1]
        last = before[:-1].rsplit(None, 1)[-1:]
        if last and len(last[0]) > LONGEST_ABBREVIATION and last[0].isalpha():
            return not letter.islower()  # most sentences end so, and three regular expressions say the same
        word = _LAST_WORD.search(before)
        said = word.group()[:-1] if word else ""
        is_initial = len(said) == 1 and said.isupper() and said != "I"
        if is_initial or said.casefold() in NEVER_LAST or _is_list_mark(text, before, end):
            return False
        if said.casefold() in ABBREVIATIONS or "." in said:
            return not (letter.islower() or letter.isdigit() or letter in ",;:")
    return not letter.islower()


def _is_list_mark(text: str, before: str, end: int) -> bool:
    """Whether this full stop stands after a list's number: at a line's begin, or within it where another one does."""
    if _LIST_MARK.search(before):
        return True
    marks = list(_MARK_WITHIN.finditer(before))
    if not marks or marks[-1].end() < len(before):
        return False
    begin, close = text.rfind("\n", 0, end) + 1, text.find("\n", end)
    return len(_MARK_WITHIN.findall(text, begin, close if close >= 0 else len(text))) > 1


def _trim(text: str, begin: int, end: int) -> Span | None:
    said = text[begin:end].lstrip()
    begin = end - len(said)
    end = begin + len(said.rstrip())
    return (begin, end) if begin < end else None
