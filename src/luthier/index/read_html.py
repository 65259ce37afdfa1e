"""Web pages: what a reader sees of the main part, along its headings."""

import re
from pathlib import Path
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from luthier.index.parsed import Block, Parsed
from luthier.index.read_text import decode
from luthier.retrieve.follow import ANCHORS, LINKS

LEFT_OUT = [
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "nav",
    "footer",
    "aside",
    "form",
    "iframe",
    "button",
    "select",
    "textarea",
    "head",
]
BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "header",
        "hr",
        "html",
        "legend",
        "main",
        "p",
        "section",
        "summary",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
    ]
)
WHOLE = ("ul", "ol", "pre", "table")
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_MARK = re.compile(r"\x00(\d+)\x00")
"""Where a link begins, in text that is not gathered yet: the parser leaves no such character in it."""
_MARKS_FIRST = re.compile(r"\A((?:\x00\d+\x00)+)(\s+)")
_MARKS_BETWEEN = re.compile(r"(?<! ) *\x00\d+\x00(?:\x00\d+\x00| )*")
_NEXT_PARAGRAPH = re.compile(r"\n(?:\x00\d+\x00|[ \n])*\n")
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
_LONGEST_CELL = 300
DEEPEST = 200
"""Elements inside one another; deeper ones are read as plain text."""


def read(path: Path) -> Parsed:
    """Read an HTML file."""
    return parse(_text(path), path.stem)


def parse(source: str, name: str) -> Parsed:
    """Read HTML."""
    tree = LexborHTMLParser(source)
    title = tree.css_first("title")
    titled = _SPACE.sub(" ", title.text(deep=True)).strip() if title else ""
    root = tree.body
    if root is None:
        return Parsed(titled or name, [], {"type": "html"})
    for tag in LEFT_OUT:
        for node in root.css(tag):
            node.decompose()
    whole = len(root.text(deep=True))
    for tag in ("article", "main"):
        found = tree.css(tag)
        if len(found) == 1 and len(found[0].text(deep=True)) > whole / 2:
            root = found[0]
            break
    walk = _Walk()
    walk.inside(root, 0)
    walk.end()
    return Parsed(titled or name, walk.blocks, {"type": "html"})


class _Walk:
    """Gathers running text until a block ends."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._parts: list[str] = []
        self._noted: list[tuple[str, str]] = []
        """What the marks in gathered text mean: a link and where to, or a name that can be linked to."""
        self._waiting: list[tuple[str, str]] = []
        """The same, of elements of which nothing was gathered yet."""

    def inside(self, parent: Any, depth: int) -> None:
        for node in parent.iter(include_text=True):
            if depth > DEEPEST:
                self._parts.append(node.text(deep=True))
            else:
                self._node(node, depth)

    def _node(self, node: Any, depth: int) -> None:
        tag = node.tag
        if tag == "-text":
            self._parts.append(node.text(deep=False))
        elif tag == "br":
            self._parts.append("\n")
        elif tag in HEADINGS or tag in WHOLE or tag in BLOCKS:
            self.end()
            self._block(node, tag, depth)
            self.end()
        elif not tag.startswith(("-", "_")):  # comments and the like
            if tag == "a" and any(inner.tag in HEADINGS or inner.tag in BLOCKS for inner in node.traverse()):
                self.end()
                has_text = bool(node.text(deep=True).strip())  # else its link would be that of the next block
                self._waiting += [pair for pair in _noted(node) if has_text or pair[0] != LINKS]
            else:
                self._parts.append(self._marks(node))
            self.inside(node, depth + 1)

    def _block(self, node: Any, tag: str, depth: int) -> None:
        if tag in HEADINGS:
            self._add("heading", self._said(node), HEADINGS[tag])
        elif tag in ("ul", "ol"):
            items = [self._said(item).strip() for item in node.iter() if item.tag == "li"]
            self._add("list", self._marks(node) + "\n".join(f"- {item}" for item in items if item))
        elif tag == "pre":
            self._add("code", self._marks(node) + node.text(deep=True).strip("\n"))
        elif tag == "table" and _is_data(node):
            self._add("table", self._marks(node) + self._table(node))
        else:
            self._parts.append(self._marks(node))
            self.inside(node, depth + 1)

    def end(self) -> None:
        """Two line breaks in a row part paragraphs, with whatever marks stand between them; one is white space."""
        text = "".join(_SPACE.sub(" ", part) if part != "\n" else part for part in self._parts)
        self._parts = []
        for part in _NEXT_PARAGRAPH.sub(lambda found: "\n\n" + _marks_of(found), text).split("\n\n"):
            self._add("text", _SPACE.sub(" ", part))

    def _marks(self, node: Any) -> str:
        """Give the marks of what an element links to, and of the names by which it is linked to."""
        first = len(self._noted)
        self._noted += _noted(node)
        return "".join(f"\x00{place}\x00" for place in range(first, len(self._noted)))

    def _said(self, parent: Any) -> str:
        """Give the text inside an element, with marks."""
        inside = parent.traverse(include_text=True)
        parts = [node.text(deep=False) if node.tag == "-text" else self._marks(node) for node in inside]
        return _SPACE.sub(" ", "".join(parts))

    def _table(self, table: Any) -> str:
        rows = [[self._said(cell).strip() for cell in row.css("td, th")] for row in table.css("tr")]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows if any(_MARK.sub("", cell) for cell in row))

    def _add(self, kind: Any, marked: str, level: int = 0) -> None:
        """Keep a block, with where its marks stood; names of one without a text are the next one's."""
        marked = _MARKS_FIRST.sub(r"\2\1", _MARKS_BETWEEN.sub(_behind_one_blank, marked)).strip()
        text = _MARK.sub("", marked).strip()
        found: dict[str, list[tuple[int, str]]] = {LINKS: [], ANCHORS: []}
        for sort, value in self._waiting:
            found[sort].append((0, value))
        gone = 0
        for mark in _MARK.finditer(marked):
            sort, value = self._noted[int(mark[1])]
            found[sort].append((min(mark.start() - gone, max(0, len(text) - 1)), value))
            gone += len(mark[0])
        if not text:
            links = [pair for pair in self._waiting if pair[0] == LINKS]
            self._waiting = [*links, *((ANCHORS, name) for _, name in found[ANCHORS])]
            return
        self._waiting = []
        self.blocks.append(Block(kind, text, level, metadata={name: rows for name, rows in found.items() if rows}))


def _noted(node: Any) -> list[tuple[str, str]]:
    """Give the names of an element, and what it links to, where there is something to click on."""
    given = node.attributes if node.tag == "a" else {"id": node.id}
    found = [(kind, given.get(name)) for name, kind in (("id", ANCHORS), ("name", ANCHORS), ("href", LINKS))]
    links = [pair for pair in found if pair[0] == LINKS and pair[1]]
    if links and not node.text(deep=True).strip() and not node.css_first("img"):
        found.remove(links[0])
    return [(kind, value) for kind, value in found if value]


def _marks_of(found: re.Match[str]) -> str:
    return "".join(mark[0] for mark in _MARK.finditer(found[0]))


def _behind_one_blank(found: re.Match[str]) -> str:
    """Give marks with one of the blanks around them before them, but none at a line's end."""
    after = found.string[found.end() : found.end() + 1]
    return (" " if " " in found[0] and after.strip() else "") + _marks_of(found)


def _is_data(table: Any) -> bool:
    """Whether it is a table of data, and not there to place things on the page."""
    rows = table.css("tr")
    cells = table.css("td, th")
    holds_more = len(table.css("table")) > 1 or table.css("h1, h2, h3, p + p")  # the first is the table itself
    if len(rows) < 2 or len(cells) < 2 * len(rows) or holds_more:
        return False
    return max(len(cell.text(deep=True)) for cell in cells) <= _LONGEST_CELL


def _text(path: Path) -> str:
    data = path.read_bytes()
    said = _CHARSET.search(data[:4096])
    if said:
        try:
            name = said[1].decode("ascii").casefold()
            return data.decode("gb18030" if name in ("gb2312", "gbk") else name)
        except (LookupError, UnicodeDecodeError):
            pass  # the page says an encoding that it is not in
    return decode(data, str(path))
