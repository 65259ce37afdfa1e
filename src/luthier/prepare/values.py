"""Single values of a row as what is wanted of them: text, JSON, a truth, a weight."""

import json
import math
from typing import Any

from luthier.prepare.fault import BadRow
from luthier.prepare.filter import TRUTHS
from luthier.prepare.line_rows import DECODER


def text_of(value: Any) -> str | None:
    """Give a value as text: numbers too, nothing as '', a list of text parts joined; None for anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and value:
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    return None


def wanted_text(value: Any, which: str) -> str:
    """Give a value as text. Raises BadRow for one that is none, or that UTF-8 cannot write."""
    text = text_of(value)
    if text is None:
        kind = other_part(value)
        if kind:
            raise BadRow("not text", f"{which} holds a part of the type {kind!r}, not text", "only texts are read")
        raise BadRow("not text", f"{which} is {value!r:.60}, not text", "write it as one text")
    if not is_whole(text):
        raise BadRow("not text", f"{which} has half a surrogate pair", "write the character as one \\u pair")
    return text


def other_part(value: Any) -> str:
    """Give the type of the first part of a turn's content (OpenAI's form) that is no text, '' if there is none."""
    types = [part.get("type") for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return next((kind for kind in types if isinstance(kind, str) and kind != "text"), "")


def is_whole(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: JSON lets halves of surrogate pairs through."""
    try:
        return text.isascii() or bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def unpacked(value: Any) -> Any:
    """Give what a text holds as JSON, where it is a list or an object; a table keeps them as text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return DECODER.decode(value.strip())
        except (ValueError, RecursionError):
            return value
    return value


def canonical(value: Any, which: str) -> str:
    """Write a value as JSON with its names in order. Raises BadRow for one that JSON cannot write."""
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRow("not JSON", f"{which} cannot be written as JSON: {error}", "write plain JSON") from None
    return wanted_text(text, which)


def truth_of(value: Any) -> bool | None:
    """Give a truth however it is written (true, 1, "yes"), None for anything else."""
    if isinstance(value, bool):
        return value
    written = value.strip().lower() if isinstance(value, str) else json.dumps(value) if value in (0, 1) else ""
    return next((truth for truth, words in TRUTHS.items() if written in words), None)


def weight_of(value: Any, which: str) -> float | None:
    """Give a weight, None for none. Raises BadRow for one that is no number, below 0 or without end."""
    if value is None or value == "":
        return None
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise BadRow("bad weight", f"{which} is {value!r:.60}, no weight", "write a number from 0 up")
    return weight
