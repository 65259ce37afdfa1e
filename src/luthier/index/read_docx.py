"""Word documents: headings by style, lists, tables whole, pages where Word has left its marks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docx import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from luthier.errors import DataError
from luthier.index.archive import check_archive
from luthier.index.parsed import Block, Parsed

_HEADING = re.compile(r"(?:heading|标题)\s*(\d)", re.IGNORECASE)


def read(path: Path) -> Parsed:
    """Read a DOCX file."""
    check_archive(path, "DOCX")
    try:
        document = Document(str(path))
        blocks = list(_join_lists(_blocks(document)))
        title = document.core_properties.title
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise DataError(
            f"the file is no whole Word document: {error}",
            where=str(path),
            mend="save it anew as DOCX, or leave it out",
        ) from None
    return Parsed(str(title or path.stem), blocks, {"type": "docx"})


def _blocks(document: Any) -> Iterator[Block]:
    marks = _page_marks(document)
    page = 1
    for part in document.iter_inner_content():
        before, after = _breaks(part, marks)
        page += before
        if isinstance(part, Table):
            text = _table(part)
            if text.strip():
                yield Block("table", text, page=page if marks else None)
        elif part.text.strip():
            yield _paragraph(part, page if marks else None)
        page += after


def _paragraph(part: Paragraph, page: int | None) -> Block:
    style = str(part.style.name or "") if part.style is not None else ""
    found = _HEADING.match(style)
    if found or style == "Title":
        return Block("heading", part.text.strip(), int(found[1]) if found else 1, page)
    numbered = part._p.pPr is not None and part._p.pPr.numPr is not None
    is_item = numbered or style.startswith("List")
    return Block("list" if is_item else "text", f"- {part.text.strip()}" if is_item else part.text.strip(), 0, page)


def _join_lists(blocks: Iterator[Block]) -> Iterator[Block]:
    """Make one list of items that follow one another."""
    last: Block | None = None
    for block in blocks:
        if last and block.kind == last.kind == "list" and block.page == last.page:
            last = Block("list", f"{last.text}\n{block.text}", page=last.page)
            continue
        if last:
            yield last
        last = block
    if last:
        yield last


def _table(table: Table) -> str:
    rows = []
    for row in table.rows:
        cells: list[Any] = []
        for cell in row.cells:
            if not cells or cell._tc is not cells[-1]._tc:  # a merged cell comes once for each column it spans
                cells.append(cell)
        rows.append([" ".join(cell.text.split()) for cell in cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows if any(row))


def _page_marks(document: Any) -> str:
    """Give the mark by which pages can be told: where Word last broke them, else where the writer did; else ''."""
    body = document.element.body
    if body.findall(f".//{qn('w:lastRenderedPageBreak')}"):
        return "rendered"
    return "written" if any(br.get(qn("w:type")) == "page" for br in body.iter(qn("w:br"))) else ""


def _breaks(part: Any, marks: str) -> tuple[int, int]:
    """Give how many pages end before a part's text, and inside or after it."""
    element = part._tbl if isinstance(part, Table) else part._p
    before = after = 0
    has_text = False
    for node in element.iter():
        if node.tag == qn("w:t") and (node.text or "").strip():
            has_text = True
        rendered = marks == "rendered" and node.tag == qn("w:lastRenderedPageBreak")
        written = marks == "written" and node.tag == qn("w:br") and node.get(qn("w:type")) == "page"
        if rendered or written:
            before, after = (before, after + 1) if has_text else (before + 1, after)
    return before, after
