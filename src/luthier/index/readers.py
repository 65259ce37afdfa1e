"""The readers by the end of a file's name: the one place where they are imported, each when it is needed."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from luthier.errors import DataError, ToolError
from luthier.index.parsed import Parsed

READERS: dict[str, str] = {
    ".txt": "luthier.index.read_text:read",
    ".md": "luthier.index.read_markdown:read",
    ".markdown": "luthier.index.read_markdown:read",
}
VERSION = 1
"""Raised when readers give other blocks: unchanged files are then read anew."""


def suffix_of(path: Path) -> str:
    """Give the end of a file's name that tells its format."""
    return path.suffix.casefold()


def read_document(path: Path) -> Parsed:
    """Read a document. Raises DataError where it cannot be read, or holds no text; ToolError without its reader."""
    module, _, name = READERS[suffix_of(path)].partition(":")
    try:
        read: Callable[[Path], Parsed] = getattr(import_module(module), name)
        parsed = read(path)
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the reader of {suffix_of(path)} files needs {error.name!r}, which is not installed",
            where=str(path),
            mend="pip install 'luthier[rag]'",
        ) from None
    if not parsed.text.strip():
        raise DataError("the document holds no text", where=str(path), mend="leave it out, or give one with text")
    return parsed
