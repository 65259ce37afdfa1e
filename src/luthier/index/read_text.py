"""Plain text in any common encoding: paragraphs are blocks."""

import re
from pathlib import Path

from luthier.errors import DataError
from luthier.index.parsed import Block, Parsed

MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Byte order marks and what they say; the longer one is looked for first."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_FREQUENT = frozenset(
    "的一是不了在有我他这这中大来上个国和地到们为子你说生出会也时要就可以对得里后自之年所方法第条"
    "這來個國們為說會時對裡後條產沒還過與"
    "のにはをたがでてとしれさいるもなですま。、"
    "이다는의에을를가은고하지로도한사기어서인리해"
    "，"
)
_LEAST_SHARE = 0.08
_WESTERN = frozenset("àâäáãåæçéèêëíìîïñóòôöõøœúùûüýÿßÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜÝ¿¡«»“”‘’–—…€£°§·•©®™½¼\u00a0")
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
    text = _east_asian(data) or _western(data)
    if text is not None:
        return _checked(text, where)
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise _no_text("its encoding cannot be told", where)
    return _checked(data.decode(best.encoding, "replace"), where)


def _east_asian(data: bytes) -> str | None:
    """Give the text in the East Asian encoding in which the most frequent characters come out most often."""
    found: list[tuple[float, str]] = []
    for encoding in ("gb18030", "big5", "shift_jis", "euc_kr"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        beyond = [character for character in text[:_SAMPLE] if ord(character) > 0x7F]
        if beyond:
            found.append((sum(1 for character in beyond if character in _FREQUENT) / len(beyond), text))
    share, text = max(found, default=(0.0, ""))
    return text if share > _LEAST_SHARE else None


def _western(data: bytes) -> str | None:
    """Give the text in Windows-1252 if all that is beyond ASCII are letters and marks of Western Europe."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return text if all(character < "\x80" or character in _WESTERN for character in text[:_SAMPLE]) else None


def _checked(text: str, where: str) -> str:
    sample = text[:_SAMPLE]
    if len(CONTROL.findall(sample)) > _MOST_CONTROL_SHARE * max(1, len(sample)):
        raise _no_text("it holds control characters, as binary files do", where)
    return CONTROL.sub(" ", text)


def _no_text(why: str, where: str) -> DataError:
    return DataError(f"the file is no text: {why}", where=where, mend="give text (UTF-8 or another common encoding)")
