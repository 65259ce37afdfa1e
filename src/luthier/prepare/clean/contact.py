"""WeChat names, QQ numbers and Chinese number plates: they prove nothing by themselves, so words beside them must."""

import re

from luthier.prepare.clean.phone import END, Spans

_PROVINCE = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_CALLED = ("微信", "扣扣", "QQ", "WeChat", "Wechat", "wechat", "WECHAT")
"""One of these stands before each name and number."""
_WECHAT = re.compile(
    # called a number of WeChat's, a name of letters alone counts; else it must hold a digit, as no word does
    r"(?:微信(?:号|ID|id|账号|帐号)[ ]?(?:[:=是为]|[(]?同号[)]?)?[ ]?(?P<sure>[A-Za-z][A-Za-z0-9_-]{5,19})"
    r"|(?:微信|(?<![A-Za-z])(?:[Ww]e[Cc]hat|WECHAT))(?: ?(?:ID|id|号))?[ ]?[:=是为][ ]?"
    r"(?P<likely>(?=[A-Za-z_-]*\d)[A-Za-z][A-Za-z0-9_-]{5,19}))(?![A-Za-z0-9_@.(-])"
)
_QQ = re.compile(
    r"(?:(?<![A-Za-z])QQ|扣扣)(?: ?(?:号码?|账号|帐号))?[ ]?(?:[:=是为][ ]?)?"
    rf"(?P<number>[1-9]\d{{5,10}}){END}(?! ?[个人名年版])"
)
_PLATE = re.compile(
    rf"(?P<province>[{_PROVINCE}])[A-HJ-NP-Z](?P<point>[·•.]?)"
    # five signs with two letters at most, the last may be a sign of use; or six, D and F telling an electric drive
    r"(?:(?=[A-Z0-9]*\d[A-Z0-9]*\d[A-Z0-9]*\d)(?:[A-HJ-NP-Z0-9]{5})|[A-HJ-NP-Z0-9]{4}[挂学警港澳]"
    r"|[A-HJK][A-HJ-NP-Z0-9]\d{4}|\d{5}[A-HJK])(?![A-Za-z0-9])"
)
_PLATE_BEGINS = re.compile(rf"[{_PROVINCE}][A-HJ-NP-Z][·•.A-Z0-9]")
_CAR = re.compile(r"车|号牌|牌照|牌号|驾驶")
BESIDE = 20
"""Characters before a plate, or a third of them after it, in which a car must be spoken of."""


def may_hold_contact(text: str) -> bool:
    """Whether to look at all: few texts hold one of these words, or how a plate begins."""
    return any(word in text for word in _CALLED) or (not text.isascii() and _PLATE_BEGINS.search(text) is not None)


def wechat_names(text: str) -> Spans:
    """Find names in WeChat that are called so."""
    for match in _WECHAT.finditer(text):
        yield match.span("sure" if match["sure"] else "likely")


def qq_numbers(text: str) -> Spans:
    """Find QQ numbers that are called so; those of groups are nobody's."""
    yield from (match.span("number") for match in _QQ.finditer(text))


def plates(text: str) -> Spans:
    """Find number plates: with the point they are written with, or where a car is spoken of."""
    for match in _PLATE.finditer(text):
        begin, end = match.span()
        around = (text[max(0, begin - BESIDE) : begin], text[end : end + BESIDE // 3])
        if match["point"] in ("·", "•") or any(_CAR.search(part) for part in around):
            yield begin, end
