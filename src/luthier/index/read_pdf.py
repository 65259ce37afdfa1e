"""PDF: lines with their page, headings by their size, ruled tables whole, running heads left out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pdfplumber
from pdfminer.pdfdocument import PDFPasswordIncorrect
from pdfminer.pdfexceptions import PDFException
from pdfplumber.utils.exceptions import PdfminerException

from luthier.errors import DataError
from luthier.index.parsed import SCANNED, Block, Parsed

HEADING_RATIO = 1.15
"""How much larger than the running text a heading is set."""
LONGEST_HEADING = 150
PARAGRAPH_GAP = 0.6
"""Of a line's height: a larger gap between lines parts paragraphs."""
LEVELS = 3
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Line:
    """A line of a page, or a table (which has no size)."""

    text: str
    page: int
    top: float
    bottom: float
    size: float
    is_table: bool = False


def read(path: Path) -> Parsed:
    """Read a PDF file; its metadata names pages that are pictures. Raises DataError if it is encrypted or broken."""
    try:
        with pdfplumber.open(path) as document:
            pages = [_lines(page) for page in document.pages]
            pictures = [bool(page.images) for page in document.pages]
            title = str((document.metadata or {}).get("Title") or "").strip()
    except (PdfminerException, PDFException, ValueError, KeyError, TypeError, AssertionError, RecursionError) as error:
        inner = error.args[0] if error.args else error
        if isinstance(inner, PDFPasswordIncorrect) or isinstance(error, PDFPasswordIncorrect):
            raise DataError(
                "the PDF is encrypted", where=str(path), mend="save it without a password, or leave it out"
            ) from None
        raise DataError(
            f"the PDF is broken: {str(inner) or type(inner).__name__}",
            where=str(path),
            mend="save it anew, or leave it out",
        ) from None
    scanned = [number for number, lines in enumerate(pages, start=1) if not lines and pictures[number - 1]]
    blocks = list(_blocks([line for lines in _without_running_heads(pages) for line in lines]))
    metadata = {"type": "pdf", "pages": len(pages), **({SCANNED: scanned} if scanned else {})}
    return Parsed(title or path.stem, blocks, metadata)


def _lines(page: Any) -> list[Line]:
    tables = [table for table in page.find_tables() if len(table.rows) > 1 and len(table.rows[0].cells) > 1]
    outside = page
    found = []
    for table in tables:
        rows = [[" ".join((cell or "").split()) for cell in row] for row in table.extract()]
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows if any(row))
        if text:
            found.append(Line(text, page.page_number, table.bbox[1], table.bbox[3], 0.0, True))
            outside = outside.outside_bbox(table.bbox)
    for line in outside.extract_text_lines(return_chars=True):
        size = Counter(round(char["size"], 1) for char in line["chars"]).most_common(1)[0][0]
        if line["text"].strip():
            found.append(Line(line["text"].strip(), page.page_number, line["top"], line["bottom"], size))
    page.close()
    return sorted(found, key=lambda line: line.top)


def _without_running_heads(pages: Sequence[list[Line]]) -> Iterator[list[Line]]:
    """Leave out first and last lines that come, but for numbers, on most of at least three pages."""
    counts: Counter[str] = Counter()
    for lines in pages:
        counts.update({_DIGITS.sub("#", line.text) for line in (*lines[:1], *lines[-1:])})
    running = {text for text, count in counts.items() if count >= 3 and count > len(pages) / 2}
    for lines in pages:
        edges = {id(line) for line in (*lines[:1], *lines[-1:])}
        yield [line for line in lines if id(line) not in edges or _DIGITS.sub("#", line.text) not in running]


def _blocks(lines: Sequence[Line]) -> Iterator[Block]:
    sizes: Counter[float] = Counter()
    for line in lines:
        if not line.is_table:
            sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    large = sorted((size for size in sizes if size > HEADING_RATIO * body), reverse=True)
    levels = {size: min(place, LEVELS) for place, size in enumerate(large, start=1)}
    paragraph: list[Line] = []
    for line in lines:
        is_heading = line.size in levels and len(line.text) <= LONGEST_HEADING
        if paragraph and (is_heading or line.is_table or not _continues(paragraph[-1], line)):
            yield _paragraph(paragraph)
            paragraph = []
        if line.is_table:
            yield Block("table", line.text, page=line.page)
        elif is_heading:
            yield Block("heading", line.text, levels[line.size], line.page)
        else:
            paragraph.append(line)
    if paragraph:
        yield _paragraph(paragraph)


def _continues(last: Line, line: Line) -> bool:
    height = max(1.0, last.bottom - last.top)
    return last.page == line.page and -height < line.top - last.bottom < PARAGRAPH_GAP * height


def _paragraph(lines: Sequence[Line]) -> Block:
    return Block("text", "\n".join(line.text for line in lines), page=lines[0].page)
