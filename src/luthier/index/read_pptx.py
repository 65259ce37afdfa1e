"""Presentations: a page is a slide, its title the heading; tables, groups and notes are read too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pptx import Presentation
from pptx.exc import PackageNotFoundError

from luthier.errors import DataError
from luthier.index.archive import check_archive
from luthier.index.parsed import Block, Parsed


def read(path: Path) -> Parsed:
    """Read a PPTX file."""
    check_archive(path, "PPTX")
    try:
        deck = Presentation(str(path))
        blocks = [block for number, slide in enumerate(deck.slides, start=1) for block in _slide(slide, number)]
        title = deck.core_properties.title
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise DataError(
            f"the file is no whole presentation: {error}", where=str(path), mend="save it anew as PPTX, or leave it out"
        ) from None
    return Parsed(str(title or path.stem), blocks, {"type": "pptx"})


def _slide(slide: Any, number: int) -> Iterator[Block]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield Block("heading", " ".join(title.text_frame.text.split()), 1, number)
    shapes = [shape for shape in _flat(slide.shapes) if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if getattr(shape, "has_table", False) and shape.has_table:
            rows = [[" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows]
            yield Block("table", "\n".join(f"| {' | '.join(row)} |" for row in rows if any(row)), page=number)
        elif shape.has_text_frame and shape.text_frame.text.strip():
            lines = [paragraph.text.strip() for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()]
            yield Block("list" if len(lines) > 1 else "text", "\n".join(lines), page=number)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield Block("text", notes, page=number)


def _flat(shapes: Any) -> Iterator[Any]:
    for shape in shapes:
        if shape.shape_type is not None and int(shape.shape_type) == GROUP:
            yield from _flat(shape.shapes)
        else:
            yield shape


GROUP = 6
"""MSO_SHAPE_TYPE.GROUP."""
