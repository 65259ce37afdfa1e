"""Web pages: what a reader sees of the main part, along its headings."""

import re
from pathlib import Path
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from luthier.index.parsed import Block, Parsed
from luthier.index.read_text import decode

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
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
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
        elif tag in HEADINGS:
            self.end()
            self._add("heading", _SPACE.sub(" ", node.text(deep=True)), HEADINGS[tag])
        elif tag in ("ul", "ol"):
            self.end()
            items = [_SPACE.sub(" ", item.text(deep=True)).strip() for item in node.iter() if item.tag == "li"]
            self._add("list", "\n".join(f"- {item}" for item in items if item))
        elif tag == "pre":
            self.end()
            self._add("code", node.text(deep=True).strip("\n"))
        elif tag == "table" and _is_data(node):
            self.end()
            self._add("table", _table(node))
        elif tag in BLOCKS or tag == "table":
            self.end()
            self.inside(node, depth + 1)
            self.end()
        elif not tag.startswith("-") and not tag.startswith("_"):  # comments and the like
            self.inside(node, depth + 1)

    def end(self) -> None:
        """Two line breaks in a row part paragraphs; one is white space."""
        text = "".join(_SPACE.sub(" ", part) if part != "\n" else part for part in self._parts)
        self._parts = []
        for part in re.split(r"\n[ \n]*\n", text):
            self._add("text", _SPACE.sub(" ", part))

    def _add(self, kind: Any, text: str, level: int = 0) -> None:
        if text.strip():
            self.blocks.append(Block(kind, text.strip(), level))


def _is_data(table: Any) -> bool:
    """Whether it is a table of data, and not there to place things on the page."""
    rows = table.css("tr")
    cells = table.css("td, th")
    holds_more = len(table.css("table")) > 1 or table.css("h1, h2, h3, p + p")  # the first is the table itself
    if len(rows) < 2 or len(cells) < 2 * len(rows) or holds_more:
        return False
    return max(len(cell.text(deep=True)) for cell in cells) <= _LONGEST_CELL


def _table(table: Any) -> str:
    rows = [[_SPACE.sub(" ", cell.text(deep=True)).strip() for cell in row.css("td, th")] for row in table.css("tr")]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows if any(row))


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
