"""Forms of text: to continue, to classify (alone or as a pair), to extract JSON from, to read and be asked about."""

from typing import Any

from luthier.prepare import form_chat
from luthier.prepare.conversation import messages_of, turn
from luthier.prepare.fault import BadRow
from luthier.prepare.form_chat import Data, Fields, Names, first_there
from luthier.prepare.labels import KIND, LABEL_KINDS, label_in
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


def read_classification(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read the texts and their label."""
    texts = tuple(_text(data, names[name]) for name in ("text", "second_text") if name in names)
    given = label_in(data, names)
    if given is None or given == "":
        raise BadRow("no label", f"{names['label']} is empty", "fill it in")
    return {"texts": texts, "label": LABEL_KINDS[names[KIND]](given, names["label"])}


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


def reading_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A text, a question about it, and its answers, as SQuAD has them."""
    return {"answers": "answers", "question": "question", "context": "context"}


def read_reading(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a text and a question, joined by a blank line (as the task `reading` asks), and the first known answer."""
    context, question = (_text(data, names[name]) for name in ("context", "question"))
    answers = [text for text in _answers(unpacked(data.get(names["answers"]))) if text.strip()]
    if not answers:
        raise BadRow("no answer", "answers holds no text: the question has none", "leave it out (bad_rows=drop)")
    turns = [turn("user", f"{context}\n\n{question}"), turn("assistant", answers[0])]
    return {"messages": messages_of(turns, form_chat.system_of(data, spec.columns.system or "system", spec))}


def _answers(value: Any) -> list[str]:
    """Give the texts of answers: SQuAD's objects, the lists that `datasets` makes of them, or bare texts."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return _answers(value.get("text"))
    return [text for one in value for text in _answers(one)] if isinstance(value, list) else []


def _text(data: Data, column: str) -> str:
    text = wanted_text(data.get(column), column)
    if not text.strip():
        raise BadRow("empty text", f"{column} is empty", "fill it in, or leave the row out")
    return text
