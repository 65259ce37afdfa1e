"""Telephone numbers; and how a number stands in a text: free, or part of an amount, an order number, a version."""

import re
from collections.abc import Iterator

Spans = Iterator[tuple[int, int]]
"""Where finds begin and end."""
FREE = r"(?<![\dA-Za-z_#$€£¥/-])(?<!\d[. ])"
"""What a number may not follow: it would be part of a longer number, of a name, an amount or a path."""
END = (
    r"(?![\dA-Za-z_%])(?![-.:/]\d)(?!,\d{3}(?!\d))"
    r"(?! ?(?:元|美元|块钱|万|亿|[Kk]?[Bb]ytes|dollars|USD|RMB|CNY))"
)
"""What may not follow a number, for the same reasons."""
EXTENSION = r"(?:(?:,? ?(?:转|分机号?:?|[Ee]xt\.?:?)|-) ?\d{1,6}(?!\d))?"
"""The number within a house, after the house's own."""
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Chinese mobile numbers
        rf"{FREE}(?:\(?\+?(?:00)?86\)?[ -]?)?1[3-9]\d[ -]?\d{{4}}[ -]?\d{{4}}{END}",
        # Chinese landlines, with the area's number apart
        rf"{FREE}(?:\(?\+?86\)?[ -]?)?(?:\(0[1-9]\d{{1,2}}\) ?|0[1-9]\d{{1,2}}[- ])"
        rf"[2-9]\d{{2,3}}[- ]?\d{{4}}{EXTENSION}{END}",
        # Chinese service numbers, in groups with dashes
        rf"{FREE}(?:\+?86[ -]?)?[48]00-(?:\d{{3}}-?\d{{4}}|\d{{4}}-?\d{{3}}){EXTENSION}{END}",
        # North America, in groups; 400 is no area there
        rf"{FREE}(?:\+?1[-. ])?(?:\((?!400)[2-9]\d{{2}}\) ?|(?!400)[2-9]\d{{2}}(?P<by>[-. ]))"
        rf"[2-9]\d{{2}}(?(by)(?P=by)|[-. ])\d{{4}}(?:,? ?(?:[Ee]xt\.?:?|x) ?\d{{1,6}}(?!\d))?{END}",
    )
)
_CALLED_SO = re.compile(
    r"(?:电话|热线|拨打|客服|致电)[^\d\n]{0,6}(?P<number>(?:[48]00[ -]?(?:\d{3}[ -]?\d{4}|\d{4}[ -]?\d{3})"
    rf"|0[1-9]\d{{9,10}}){EXTENSION}){END}"
)
_INTERNATIONAL = re.compile(rf"(?<![\dA-Za-z_.+/=^)*-])(?<!\d )\+[1-9](?:[-. ()]{{0,2}}\d){{7,14}}{END}")
_CALLED_OTHERWISE = re.compile(
    r"(?:订单|单号|编号|流水号?|序列号?|型号|货号|批号|条码|版本|专利|文号|第|order|invoice|tracking|serial|ticket"
    r"|account id|isbn|issn|doi|imei|sku|part|model|case|version|release|section|build|ver|v|no|id|number of \w+)"
    r"(?:号|号码|编号| ?numbers?| ?no| ?ids?| ?code)?[.#:： 为是=]{0,4}$",
    re.IGNORECASE,
)


def phones(text: str) -> Spans:
    """Find telephone numbers: Chinese ones, North American ones in groups, and any with a plus and its country."""
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if not is_called_otherwise(text, match.start()):
                yield match.span()
    yield from (match.span("number") for match in _CALLED_SO.finditer(text))
    for match in _INTERNATIONAL.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        # Round numbers are counts. E.164: 15 digits at most; no country has fewer than 8 with its code
        if 8 <= len(digits) <= 15 and not digits.endswith("0000"):
            yield match.span()


def is_called_otherwise(text: str, begin: int) -> bool:
    """Whether the words just before a number say that it is an order, a version, a book."""
    before = text[max(0, begin - 24) : begin]
    match = _CALLED_OTHERWISE.search(before)
    if match is None or not match.start():
        return match is not None
    last, first = before[match.start() - 1], before[match.start()]
    # `no` within `piano` says nothing
    return not (last.isascii() and last.isalpha() and first.isascii())
