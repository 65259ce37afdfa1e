"""Markdown by its grammar (CommonMark with tables): headings, paragraphs, lists, tables and code stay as written."""

import re
from pathlib import Path

from markdown_it import MarkdownIt

from luthier.index.parsed import Block, Parsed
from luthier.index.read_text import decode

KINDS = {
    "paragraph_open": "text",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "blockquote_open": "text",
    "html_block": "text",
}
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def read(path: Path) -> Parsed:
    """Read a Markdown file."""
    text = decode(path.read_bytes(), str(path)).replace("\r\n", "\n").replace("\r", "\n")
    return parse(text, path.stem)


def parse(text: str, title: str) -> Parsed:
    """Read Markdown. The first heading of the outermost level is the title, where there is one."""
    front = _FRONT.match(text)
    body = text[front.end() :] if front else text
    lines = body.split("\n")
    blocks: list[Block] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for place, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        if token.type == "heading_open":
            blocks.append(Block("heading", tokens[place + 1].content, int(token.tag[1:])))
        elif token.type in KINDS:
            source = "\n".join(lines[token.map[0] : token.map[1]]).rstrip()
            blocks.append(Block(KINDS[token.type], source))  # type: ignore[arg-type]
    headings = [block for block in blocks if block.kind == "heading"]
    first = min(headings, key=lambda block: block.level, default=None)
    return Parsed(first.text if first else title, [block for block in blocks if block.text], {"type": "markdown"})
