"""Left-overs of web pages: tags and entities taken out of prose, never out of text that is about markup.

No parser of whole pages would do: in prose `a < b` stays, and so do line breaks, code and what only looks like a tag
(`<name>`, `List<String>`, `<think>`).
"""

import html
import re
from collections.abc import Sequence

_INLINE = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|del|dfn|em|font|i|img|ins|kbd|mark|nobr|q|s|small|span|strike|strong|sub|sup|tt"
    "|u|var|wbr"
)
_BLOCK = (
    "address|article|aside|blockquote|body|br|caption|center|col|colgroup|dd|details|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|h[1-6]|head|header|hr|html|iframe|input|label|legend|li|link|main|meta|nav|noscript|ol"
    "|option|p|picture|section|select|source|style|script|summary|svg|table|tbody|td|tfoot|th|thead|title|tr|ul"
    "|video|audio|button|textarea|canvas|object|embed"
)
_ATTRIBUTES = r"(?:\s+[A-Za-z_:@][\w:.@-]*(?:\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=`]+))?)*"
_TAG = re.compile(
    rf"(?P<left>[ \t]*)<(?P<close>/?)(?:(?P<block>{_BLOCK})|(?:{_INLINE}))(?P<rest>{_ATTRIBUTES})\s*/?>"
    r"(?P<right>[ \t]*\n?)",
    re.IGNORECASE,
)
_ALONE = re.compile(r"<(?:br|hr|wbr|p|li|tr|td|th|dd|dt)\b", re.IGNORECASE)
"""What pages write without closing it."""
_HIDDEN = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<!DOCTYPE[^<>]*>|<!\[CDATA\[|\]\]>"
    # Up to the next opening one at most: thousands that are never closed must not each be read to the end
    r"|<(?P<name>script|style|noscript|template)\b[^<>]*>(?:(?!<(?P=name)\b).)*?</(?P=name)\s*>",
    re.IGNORECASE | re.DOTALL,
)
_RAISED = re.compile(r"<su(?P<where>[pb])>\s*(?P<digits>[0-9+()-]+)\s*</su(?P=where)>", re.IGNORECASE)
_LIFTED = str.maketrans("0123456789+-()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾")
_LOWERED = str.maketrans("0123456789+-()", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_KEPT = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`"
    r"|<(?P<name>pre|code|samp|textarea|math)\b[^<>]*>(?:(?!<(?P=name)\b).)*?</(?P=name)\s*>"
    r"|\$\$.*?\$\$|\$[^$\n]{1,200}\$",
    re.IGNORECASE | re.DOTALL,
)
"""What is code or a formula, and stays as it is."""
_ABOUT = re.compile(
    r"\b(?:x?html5?|css3?|xml|jsx|javascript|typescript|svg|react|vue|angular|php|jsp|asp\.net|markup|markdown|jquery"
    r"|bootstrap|dom|web ?(?:page|site|form|app)s?|tags?|angle brackets?|hyperlinks?|iframes?|entit(?:y|ies)|ssml|latex"
    r"|templates?|snippets?|code|script|widgets?|escap(?:e|ed|ing)|regex|regular expression|scrap(?:e|er|ing)"
    r"|crawl(?:er|ing)?|beautiful ?soup|fonts?|bold(?:ed)?|italics?|layouts?|user interface|animations?)\b"
    r"|标签|网页|网站|代码|前端|超链接|表单|脚本|转义|正则|爬虫|标记语言",
    re.IGNORECASE,
)
_IS_MARKUP = re.compile(
    r"\s*<(?:!doctype|\?xml|html|head|body|form|table|svg|script|style|nav|button|input|ul|ol|select|link"
    r"|meta|iframe|template)\b",
    re.IGNORECASE,
)


def is_about_markup(texts: Sequence[str], *, are_turns: bool) -> bool:
    """Whether a row speaks of markup or code: then its tags are meant, and none is touched.

    Told by the words outside tags and, in a conversation, by a turn that begins as a page or a form does, or that
    holds tags alone.
    """
    if are_turns and any(_IS_MARKUP.match(text) or ("<" in text and not _without(text).strip()) for text in texts):
        return True
    return any(_ABOUT.search(_without(text)) for text in texts)


def strip(text: str) -> tuple[str, int]:
    """Take tags out of a text and write entities as characters. Gives the text and how many there were.

    Where a tag of a block stood a line ends; scripts, styles and comments go with what they hold. Code fences,
    backticks, <pre>, <code> and formulas stay as they are.
    """
    if "<" not in text and "&" not in text:
        return text, 0
    pieces: list[str] = []
    count, place, has_tags = 0, 0, False
    for begin, end in [*(kept.span() for kept in _KEPT.finditer(text)), (len(text), len(text))]:
        piece, tags, entities = _strip_prose(text[place:begin])
        pieces += [piece, text[begin:end]]
        count, place, has_tags = count + tags + entities, end, has_tags or tags > 0
    new = "".join(pieces)
    return new.strip() if has_tags else new, count


def _strip_prose(text: str) -> tuple[str, int, int]:
    """Give the text, how many tags it had, and how many entities."""
    text, hidden = _HIDDEN.subn("", text)
    text, raised = _RAISED.subn(
        lambda tag: tag["digits"].translate(_LIFTED if tag["where"] in "pP" else _LOWERED), text
    )
    count = hidden + raised
    lowered = text.lower()
    entities = 0

    def gap(tag: re.Match[str]) -> str:
        nonlocal count
        if not _is_tag(tag, lowered):
            return tag.group()
        count += 1
        if tag["block"]:
            return "\n"
        return tag["right"] if tag["left"] and tag["right"] else tag["left"] + tag["right"]

    def character(entity: re.Match[str]) -> str:
        nonlocal entities
        new = html.unescape(entity.group())
        entities += new != entity.group()
        return " " if new == "\xa0" else new

    new = _TAG.sub(gap, text)
    if count:
        # Only where tags stood: two spaces at a line's end, and empty lines, mean something in other texts
        new = re.sub(r"\n\s*\n\s*\n", "\n\n", new)
    new = _ENTITY.sub(character, new)
    return new, count, entities


def _is_tag(tag: re.Match[str], lowered: str) -> bool:
    """Whether it is a tag for sure: it closes, has attributes, is closed later, or is one that pages never close."""
    bare = tag.group().strip()
    if tag["close"] or "=" in tag["rest"] or _ALONE.match(bare):
        return True
    name = re.match(r"<(\w+)", bare)
    return name is not None and f"</{name[1].lower()}" in lowered


def _without(text: str) -> str:
    return _TAG.sub(" ", _HIDDEN.sub(" ", text)) if "<" in text else text
