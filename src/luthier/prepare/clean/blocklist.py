"""A file of words and phrases that rows should not hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import DataError
from luthier.measure.words import CJK

MASK = "[blocked]"
_WORD = re.compile(rf"[^\W_{CJK}]")


@dataclass(frozen=True)
class Blocklist:
    """What is looked for. Plain phrases are found by their first character, so that ten thousand cost like ten."""

    first: re.Pattern[str] | None
    """Any first character of a plain phrase."""
    phrases: dict[str, re.Pattern[str]]
    """First character -> the phrases that begin with it, longest first."""
    patterns: tuple[re.Pattern[str], ...]

    def find(self, text: str) -> list[tuple[int, int]]:
        """Give where each find begins and ends, in their order; those that overlap are joined."""
        joined: list[tuple[int, int]] = []
        for begin, end in sorted(self._finds(text)):
            if joined and begin < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((begin, end))
        return joined

    def _finds(self, text: str) -> Iterator[tuple[int, int]]:
        if self.first is not None:
            for hit in self.first.finditer(text):
                found = self.phrases[hit.group().lower()].match(text, hit.start())
                if found:
                    yield found.span()
        for pattern in self.patterns:
            yield from (match.span() for match in pattern.finditer(text) if match.group())


def mask(text: str, spans: list[tuple[int, int]]) -> str:
    """Put `[blocked]` in the place of each find."""
    for begin, end in reversed(spans):
        text = text[:begin] + MASK + text[end:]
    return text


def read_blocklist(path: Path) -> Blocklist:
    """Read a blocklist, UTF-8: a phrase a line; `re:` before a regular expression of Python; empty lines say nothing.

    Phrases are found whatever their case; one that begins or ends with a letter or digit (not Chinese, Japanese or
    Korean) only as a whole word there. Patterns are taken as they are written.
    Raises DataError for a file that cannot be read or is empty, and, with its line, for a pattern that is none.
    """
    phrases: dict[str, set[str]] = {}
    patterns: list[re.Pattern[str]] = []
    for number, line in enumerate(_lines(path), 1):
        entry = line.strip()
        if entry.startswith("re:"):
            patterns.append(_compiled(entry.removeprefix("re:").strip(), f"{path}:{number}"))
        elif entry:
            phrases.setdefault(entry[0].lower(), set()).add(entry)
    if not phrases and not patterns:
        raise DataError("the blocklist is empty", where=str(path), mend="write a word or phrase on each line")
    by_first = {first: _alternatives(entries) for first, entries in phrases.items()}
    letters = "".join(re.escape(character) for first in sorted(by_first) for character in {first, first.upper()})
    return Blocklist(re.compile(f"[{letters}]", re.IGNORECASE) if letters else None, by_first, tuple(patterns))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"the blocklist cannot be read: {error.strerror}",
            where=str(path),
            mend="give clean.blocklist a file that is there",
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"the blocklist is not UTF-8: {error.reason} at byte {error.start}",
            where=str(path),
            mend="save it as UTF-8",
        ) from None


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"{pattern!r} is no pattern: {error}", where=where, mend="mend it, or write it without re:"
        ) from None
    if compiled.match(""):
        raise DataError(
            f"{pattern!r} is found in every text", where=where, mend="write a pattern that needs a character"
        )
    return compiled


def _alternatives(entries: set[str]) -> re.Pattern[str]:
    longest_first = sorted(entries, key=lambda entry: (-len(entry), entry))
    return re.compile("|".join(_whole(entry) for entry in longest_first), re.IGNORECASE)


def _whole(entry: str) -> str:
    """A letter of a script with spaces must not go on beyond the phrase."""
    word = _WORD.pattern
    before = f"(?<!{word})" if _WORD.match(entry[0]) else ""
    after = f"(?!{word})" if _WORD.match(entry[-1]) else ""
    inside = r"\s+".join(re.escape(part) for part in entry.split())
    return f"{before}{inside}{after}"
