"""Where a text may be cut: sentence ends in English and Chinese, list items, lines."""

import re
from collections.abc import Callable, Sequence

Span = tuple[int, int]

_ABBREVIATIONS = (
    "e.g i.e etc vs cf al fig figs eq eqs no nos vol pp ed eds dr mr mrs ms prof st jr sr inc ltd co dept approx resp "
    "sec ch art jan feb mar apr jun jul aug sep sept oct nov dec"
).split()
_END = re.compile(
    r"[。！？!?；;…]+[”’」』）)\"']*\s*"  # Chinese ends, with the quotes behind them
    r"|(?<=[^\s.])\.[”’\"')\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9\u4e00-\u9fff])"  # a full stop before what begins like a sentence
    r"|\n\s*\n\s*"
)
_LINE = re.compile(r"\n+")
_CLAUSE = re.compile(r"[，,、：:]\s*|\s+")


def sentence_spans(text: str) -> list[Span]:
    """Give the sentences of a text as spans that lie one behind the other and cover it."""
    return _spans(text, _END, _is_end)


def line_spans(text: str) -> list[Span]:
    """Give the lines of a text as spans that cover it."""
    return _spans(text, _LINE, lambda text, match: True)


def clause_spans(text: str) -> list[Span]:
    """Give the clauses and words of a text as spans that cover it: for a sentence that is too long."""
    return _spans(text, _CLAUSE, lambda text, match: True)


def sentences(text: str) -> list[str]:
    """Give the sentences of a text, without white space around them."""
    return [found for begin, end in sentence_spans(text) if (found := text[begin:end].strip())]


def _spans(text: str, cut: re.Pattern[str], is_cut: Callable[[str, re.Match[str]], bool]) -> list[Span]:
    ends = [match.end() for match in cut.finditer(text) if is_cut(text, match)]
    borders = [0, *(end for end in ends if end < len(text)), len(text)]
    return [(begin, end) for begin, end in _pairs(borders) if end > begin]


def _pairs(borders: Sequence[int]) -> list[Span]:
    return list(zip(borders, borders[1:], strict=False))


def _is_end(text: str, match: re.Match[str]) -> bool:
    if not match.group().startswith("."):
        return True
    word = re.search(r"[\w.]*$", text[max(0, match.start() - 12) : match.start()])
    before = word.group().casefold() if word else ""
    is_initial = len(before) == 1 and before.isalpha()
    return before not in _ABBREVIATIONS and not is_initial
