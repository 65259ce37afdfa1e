"""Forms of text: to continue, to classify (alone or as a pair), and to extract JSON from."""

import re
from collections.abc import Mapping
from typing import Any

from luthier.event import Chose
from luthier.prepare import form_chat
from luthier.prepare.conversation import messages_of, turn
from luthier.prepare.fault import BadRow
from luthier.prepare.form_chat import Data, Fields, Names, first_there
from luthier.prepare.spec import ColumnsSpec, SetSpec
from luthier.prepare.values import canonical, unpacked, wanted_text

TEXTS = (("text",), ("sentence",), ("content",), ("comment",), ("review",))
PAIRS = (
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question_1", "question_2"),
)
LABELS = (("label",), ("labels",), ("class",), ("category",), ("score",), ("similar",))
EXTRACTED = (("json",), ("entities",), ("extracted",), ("fields",), ("output",))
WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+([eE][-+]?\d+)?\s*")
"""A number in a table that is meant to be one: a class is hardly called 3.5."""
KIND = "kind of label"
"""Not a column: what the first row's label decides for all."""


def text_columns(data: Data, columns: ColumnsSpec) -> Names:
    """One column of text."""
    return {"text": columns.text or "text"}


def read_text(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a text to continue."""
    return {"texts": (_text(data, names["text"]),)}


def class_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A text or a pair of them, and a label."""
    label = columns.label or first_there(data, LABELS)[0]
    if columns.text or columns.second_text:
        second = {"second_text": columns.second_text} if columns.second_text else {}
        return {"text": columns.text or "text", **second, "label": label}
    texts = first_there(data, (*PAIRS, *TEXTS))
    texts = texts if all(name in data for name in texts) else ("text",)
    return {**dict(zip(("text", "second_text"), texts, strict=False)), "label": label}


def settle_classification(data: Data, names: Names) -> tuple[Names, Chose | None]:
    """Let the first label say what all are: classes, several classes a row, or numbers."""
    first = _given(data, names)
    kind = "class"
    if isinstance(first, list):
        kind = "several classes"
    elif isinstance(first, float) or (isinstance(first, str) and WITH_POINT.fullmatch(first)):
        kind = "number"
    return {**names, KIND: kind}, Chose("label", kind, why=f"the first {names['label']} is {first!r:.60}")


def read_classification(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read the texts and their label."""
    texts = tuple(_text(data, names[name]) for name in ("text", "second_text") if name in names)
    given = _given(data, names)
    if given is None or given == "":
        raise BadRow("no label", f"{names['label']} is empty", "fill it in")
    return {"texts": texts, "label": LABEL_KINDS[names[KIND]](given, names["label"])}


def _given(data: Data, names: Names) -> Any:
    given = data.get(names["label"])
    return unpacked(given) if isinstance(given, str) and given.lstrip().startswith("[") else given


def _class(given: Any, column: str) -> str:
    if isinstance(given, float) and not given.is_integer():
        raise BadRow(
            "label of another kind",
            f"{column} is {given!r}, a number, and the file's first is a class",
            f"make all of them numbers: map.{column}='{{{{ {column} | float }}}}', and the other columns with map too",
        )
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return str(int(given))
    if isinstance(given, list | dict):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a class", ONE_KIND)
    name = wanted_text(given, column).strip()
    if not name:
        raise BadRow("no label", f"{column} is empty", "fill it in")
    return name


def _classes(given: Any, column: str) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a list", ONE_KIND)
    return tuple(sorted({_class(one, column) for one in given if one is not None}))


def _number(given: Any, column: str) -> float:
    try:
        number = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or number != number or number in (float("inf"), float("-inf")):
        raise BadRow("label of another kind", f"{column} is {given!r:.60}, and the file's first is a number", ONE_KIND)
    return number


ONE_KIND = "write all labels of a file in one way"
LABEL_KINDS: Mapping[str, Any] = {"class": _class, "several classes": _classes, "number": _number}
"""What a label is -> how it is read, into an `artifact.example.Label`."""


def extraction_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A text, and the JSON that is to be extracted from it."""
    text = columns.text or first_there(data, (*TEXTS, ("input",), ("instruction",)))[0]
    return {"text": text, "json": columns.label or first_there(data, EXTRACTED)[0]}


def fits_extraction(data: Data, names: Names) -> bool:
    """Tell whether what is to be extracted is JSON, not a text."""
    value = data.get(names["json"])
    if names["json"] == "output":
        return isinstance(value, dict | list)
    return isinstance(unpacked(value), dict | list)


def read_extraction(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a text as the question, and as its answer the JSON with its names in order."""
    value = unpacked(data.get(names["json"]))
    if not isinstance(value, dict | list):
        raise BadRow("not JSON", f"{names['json']} is {value!r:.60}, not an object or a list", "write it as JSON")
    answer = turn("assistant", canonical(value, names["json"]))
    is_alpaca = names["text"] in ("input", "instruction") and "instruction" in data
    asked = [turn("user", data.get(names["text"]))]
    prompt = form_chat.alpaca_prompt(data, spec) if is_alpaca else asked
    system = form_chat.system_of(data, spec.columns.system or "system", spec)
    return {"messages": messages_of([*prompt, answer], system)}


def _text(data: Data, column: str) -> str:
    text = wanted_text(data.get(column), column)
    if not text.strip():
        raise BadRow("empty text", f"{column} is empty", "fill it in, or leave the row out")
    return text
