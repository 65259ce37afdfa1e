"""The readers by the end of a file's name: the one place where they are imported, each when it is needed."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from luthier.errors import DataError, ToolError
from luthier.index.parsed import SCANNED, Parsed
from luthier.index.recognise import MEND, ReadRecognised

READERS: dict[str, str] = {
    ".txt": "luthier.index.read_text:read",
    ".md": "luthier.index.read_markdown:read",
    ".markdown": "luthier.index.read_markdown:read",
    ".html": "luthier.index.read_html:read",
    ".htm": "luthier.index.read_html:read",
    ".pdf": "luthier.index.read_pdf:read",
    ".docx": "luthier.index.read_docx:read",
    ".pptx": "luthier.index.read_pptx:read",
    ".xlsx": "luthier.index.read_xlsx:read",
    ".csv": "luthier.index.read_rows:read_csv",
    ".tsv": "luthier.index.read_rows:read_csv",
    ".jsonl": "luthier.index.read_rows:read_jsonl",
    ".json": "luthier.index.read_rows:read_json",
}
VERSION = 7
"""Raised when other things are kept of a file: unchanged files are then read anew."""


MOST_BYTES = 256_000_000
"""A document is held in memory several times over while it is read."""


def suffix_of(path: Path) -> str:
    """Give the end of a file's name that tells its format."""
    return path.suffix.casefold()


def read_document(path: Path, recognise: ReadRecognised | None = None) -> Parsed:
    """Read a document, scanned pages by `recognise` where there is one.

    Raises DataError where it cannot be read, or holds no text; ToolError without its reader.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"the file has {size:,} bytes, a document may have {MOST_BYTES:,}", where=str(path), mend="split it"
        )
    module, _, name = READERS[suffix_of(path)].partition(":")
    try:
        read: Callable[[Path], Parsed] = getattr(import_module(module), name)
        parsed = read(path)
        if recognise and (scanned := parsed.metadata.get(SCANNED)):
            parsed = recognise(read, path)
            parsed = replace(parsed, metadata={**parsed.metadata, "pages_recognised": scanned})
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the reader of {suffix_of(path)} files needs {error.name!r}, which is not installed",
            where=str(path),
            mend="pip install 'luthier[rag]'",
        ) from None
    if not parsed.text.strip() and (scanned := parsed.metadata.get(SCANNED)):
        many = len(scanned) > 1
        raise DataError(
            f"the PDF holds no text: its {len(scanned)} page{'s are pictures' if many else ' is a picture'}",
            where=f"{path}, page {scanned[0]}",
            mend=f"recognise it: {MEND}",
        )
    if not parsed.text.strip():
        raise DataError("the document holds no text", where=str(path), mend="leave it out, or give one with text")
    return parsed
