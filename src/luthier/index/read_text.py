"""Plain text in any common encoding: paragraphs are blocks."""

import re
from pathlib import Path

from luthier.errors import DataError
from luthier.index.parsed import Block, Parsed

MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Byte order marks and what they say; the longer one is looked for first."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_EAST_ASIAN = re.compile("[\u2010-\u2027\u3000-\u30ff\u4e00-\u9fa5\uac00-\ud7a3\uff00-\uffee]")
_MOST_CONTROL_SHARE = 0.005
_SAMPLE = 100_000


def read(path: Path) -> Parsed:
    """Read a text file."""
    text = decode(path.read_bytes(), str(path))
    return Parsed(path.stem, paragraphs(text), {"type": "text"})


def paragraphs(text: str) -> list[Block]:
    """Cut a text at its empty lines."""
    parts = re.split(r"\n[ \t\u3000]*\n\s*", text.replace("\r\n", "\n").replace("\r", "\n"))
    return [Block("text", part.strip("\n")) for part in parts if part.strip()]


def decode(data: bytes, where: str) -> str:
    """Give the text of bytes: by their mark, as UTF-8, else by what charset-normalizer finds likeliest.

    Raises DataError for what is no text.
    """
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return _checked(data.decode(encoding, "replace"), where)
    try:
        return _checked(data.decode("utf-8"), where)
    except UnicodeDecodeError:
        pass
    for encoding in ("gb18030", "big5", "shift_jis", "euc_kr"):
        text = _if_plausible(data, encoding)
        if text is not None:
            return _checked(text, where)
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise _no_text("its encoding cannot be told", where)
    return _checked(data.decode(best.encoding, "replace"), where)


def _if_plausible(data: bytes, encoding: str) -> str | None:
    """Give the text if the bytes are right in an East Asian encoding and what comes out are common characters."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    beyond = [character for character in text[:_SAMPLE] if ord(character) > 0x7F]
    common = sum(1 for character in beyond if _EAST_ASIAN.match(character))
    return text if beyond and common / len(beyond) > 0.97 and _is_frequent(beyond, encoding) else None


def _is_frequent(characters: list[str], encoding: str) -> bool:
    """Whether Han characters lie in the encoding's first level, where the common ones are: garbage spreads out."""
    if encoding not in ("gb18030", "big5"):
        return True
    han = [c for c in characters if "\u4e00" <= c <= "\u9fa5"]
    low, high = (0xB0, 0xD7) if encoding == "gb18030" else (0xA4, 0xC6)
    first = sum(1 for c in han if low <= c.encode(encoding)[0] <= high)
    return not han or first / len(han) > 0.8


def _checked(text: str, where: str) -> str:
    sample = text[:_SAMPLE]
    if len(CONTROL.findall(sample)) > _MOST_CONTROL_SHARE * max(1, len(sample)):
        raise _no_text("it holds control characters, as binary files do", where)
    return CONTROL.sub(" ", text)


def _no_text(why: str, where: str) -> DataError:
    return DataError(f"the file is no text: {why}", where=where, mend="give text (UTF-8 or another common encoding)")
