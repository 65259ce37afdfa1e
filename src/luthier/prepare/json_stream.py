"""JSON documents of any size: a list of rows, or an object that holds one, decoded element by element."""

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, TextIO

from luthier.errors import DataError
from luthier.event import Chose, Tell, hush
from luthier.prepare.line_rows import DECODER
from luthier.prepare.nested import OWN_LISTS

CHUNK = 1 << 18
"""Characters read at a time; only an element that is longer makes the window grow."""
NEAR = 64
"""Characters; what breaks so near the window's end may only be cut off there: a number, a word, an escape."""
SPACE = re.compile(r"[ \t\r\n]*")
WORDS = ("true", "false", "null", "NaN", "-Infinity")
"""A JSON text that is cut off inside one of these (or before it) breaks at its beginning."""


class Element(NamedTuple):
    """One value of a document."""

    line: int
    """Where it begins, from 1."""
    value: Any
    length: int
    """In characters."""
    list_name: str = ""
    """The name of the list it stands in, where that stands in an object."""


class Window:
    """A place in a stream of JSON text, of which only a window is in memory."""

    def __init__(self, text: TextIO, label: str) -> None:
        self._text = text
        self._label = label
        self._window = ""
        self._place = 0
        self._line = 1  # of the window's first character
        self._column = 0  # how many characters of that line stand before it
        self._counted = (0, 1)  # a place in the window, and its line
        self._ended = False

    def _more(self) -> None:
        """Drop what was passed, and read on."""
        passed = self._window[: self._place]
        self._line, last = self.line, passed.rfind("\n")
        self._column = self._place - last - 1 if last >= 0 else self._column + self._place
        rest = self._window[self._place :]
        read = self._text.read(max(CHUNK, len(rest)))
        self._ended = not read
        self._window, self._place, self._counted = rest + read, 0, (0, self._line)

    @property
    def line(self) -> int:
        """The line of the next character, from 1."""
        place, line = self._counted
        self._counted = (self._place, line + self._window.count("\n", place, self._place))
        return self._counted[1]

    def peek(self) -> str:
        """Pass white space and give the next character, '' at the end."""
        while True:
            found = SPACE.match(self._window, self._place)
            self._place = found.end() if found else self._place
            if self._place < len(self._window):
                return self._window[self._place]
            if self._ended:
                return ""
            self._more()

    def passes(self, mark: str) -> bool:
        """Pass a character if it is the next one."""
        is_next = self.peek() == mark
        self._place += is_next
        return is_next

    def element(self) -> Element:
        """Decode the next value. Raises DataError with line and column if it is broken or cut off."""
        self.peek()
        line = self.line
        while True:
            try:
                value, end = DECODER.raw_decode(self._window, self._place)
                if self._ended or len(self._window) - end > NEAR:
                    length = end - self._place
                    self._place = end
                    return Element(line, value, length)
            except json.JSONDecodeError as error:
                is_far = error.pos + NEAR < len(self._window) and not error.msg.startswith("Unterminated")
                if self._ended or is_far:
                    raise self.broken(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
                raise self.broken(str(error)) from None
            self._more()

    def broken(self, what: str, place: int | None = None) -> DataError:
        """Give the error for what stands at a place of the window, or at the next character."""
        place = self._place if place is None else place
        rest = self._window[place : place + 10].rstrip()
        is_cut = what.startswith("Unterminated") or any(word.startswith(rest) for word in WORDS)
        last = self._window.rfind("\n", 0, place)
        column = place - last if last >= 0 else self._column + place + 1
        line = self._line + self._window.count("\n", 0, place)
        return DataError(
            "the JSON is cut off" if is_cut else f"not JSON: {what}",
            where=f"{self._label}:{line}, column {column}",
            mend="copy the file again, it ends too early" if is_cut else "mend the line at that column",
        )


def is_json_lines(head: str) -> bool:
    """Tell by its first characters whether a text that begins with no list is JSON lines, or one document."""
    first, end, rest = head.lstrip(" \t\r\n").partition("\n")
    rest = rest.lstrip()
    try:
        DECODER.decode(first.strip())
    except json.JSONDecodeError as error:
        is_open = first.rstrip().endswith(("[", "{", ",", ":"))
        goes_on = bool(end) and error.pos >= len(first.rstrip()) and (is_open or not rest.startswith("{"))
        return bool(end) and not goes_on
    except (ValueError, RecursionError):
        return True
    return bool(rest)


def fields_beside(text: TextIO, label: str) -> dict[str, Any]:
    """Give what stands beside the lists of rows in a document that is an object; nothing for any other.

    It may stand behind the lists, so all of it is read. Raises DataError as `elements` does.
    """
    window, fields, holds_lists = Window(text, label), dict[str, Any](), False
    for element in _object(window, label, hush, fields) if window.passes("{") else ():
        holds_lists = bool(element.list_name)
    return fields if holds_lists else {}


def elements(text: TextIO, label: str, tell: Tell) -> Iterator[Element]:
    """Give the rows of a document: the elements of its list, or of the lists of objects inside its object.

    Several objects one after the other are a row each. Raises DataError for what is no JSON, or is cut off.
    """
    window = Window(text, label)
    if window.passes("["):
        yield from _listed(window)
        if window.peek():
            raise window.broken("something follows the list")
        return
    while window.peek():
        if not window.passes("{"):
            yield window.element()
        elif (yield from _object(window, label, tell, {})) and window.peek():
            raise window.broken("something follows the object that holds the rows")


def _listed(window: Window, name: str = "") -> Iterator[Element]:
    """Give the elements of a list whose bracket is passed."""
    if window.passes("]"):
        return
    while True:
        yield window.element()._replace(list_name=name)
        if window.passes("]"):
            return
        if not window.passes(","):
            raise window.broken("a comma or ] is missing")


def _object(window: Window, label: str, tell: Tell, fields: dict[str, Any]) -> Generator[Element, None, bool]:
    """Give the rows of an object whose brace is passed: those of the lists inside, or itself. True: it had a list.

    `fields` comes to hold what else stands in it.
    """
    line = window.line
    lists: list[str] = []
    while not window.passes("}"):
        if (fields or lists) and not window.passes(","):
            raise window.broken("a comma or } is missing")
        if window.peek() != '"':
            raise window.broken("a name in quotes is missing")
        name = window.element().value
        if not window.passes(":"):
            raise window.broken("a colon is missing")
        if name in OWN_LISTS or not window.passes("["):
            fields[name] = window.element().value
        elif window.peek() != "{":
            fields[name] = [element.value for element in _listed(window)]
        else:
            lists.append(name)
            tell(Chose("rows", name, why=f"{label} is one object, and its list of objects has this name"))
            yield from _listed(window, name)
    if not lists:
        yield Element(line, fields, 0)
    return bool(lists)
