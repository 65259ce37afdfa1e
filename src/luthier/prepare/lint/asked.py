"""What the rows of an evaluation set ask, in the forms in which such sets are kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

QUESTIONS = (
    "question", "instruction", "prompt", "problem", "query", "goal", "ctx", "sentence", "text", "input", "user_query",
    "claim",
)  # fmt: skip
"""Columns in which the evaluation sets in use keep what they ask, the surest first: GSM8K, MMLU, C-Eval and TruthfulQA
`question`, HumanEval and IFEval `prompt`, MATH `problem`, PIQA `goal`, HellaSwag `ctx`, HaluEval `user_query`, SciFact
`claim`. In BFCL `question` is lists of turns."""
TURNS = ("messages", "conversations", "turns")
USERS = ("user", "human")


def questions_of(data: Mapping[str, Any]) -> list[str]:
    """Give what a row of an evaluation set asks; of a text with questions (SQuAD, CMRC), the text and all of them."""
    if _is_nested(data):
        texts = [paragraph["context"] for paragraph in _paragraphs(data) if isinstance(paragraph.get("context"), str)]
        return [*texts, *(text for row in flat(data) for text in questions_of(row))]
    for name in TURNS:
        if isinstance(data.get(name), list):
            return _users(data[name])
    if isinstance(data.get("instruction"), str) and isinstance(data.get("input"), str):
        return [f"{data['instruction']}\n{data['input']}".strip()]
    for name in QUESTIONS:
        if found := [text for text in _users(data.get(name)) if text.strip()]:
            return found
    return []


def filled_in(data: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Give what a row asks in a task whose prompt names `columns`: their texts, as one, and the question alone.

    What the prompt says itself is left out: it is the same for each row, and none of the task's own.
    """
    found: dict[str, None] = {}
    for row in flat(data):
        named = {name: row[name] for name in columns if name in row}
        texts = [text for value in named.values() for text in _users(value)]
        found |= dict.fromkeys(["\n".join(texts), *questions_of(named)])
    return list(found)


def flat(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give a row for each question of a row in SQuAD's nesting; any other row as it is."""
    if not _is_nested(data):
        yield data
        return
    for paragraph in _paragraphs(data):
        questions = paragraph.get("qas")
        for asked in questions if isinstance(questions, list) else ():
            if isinstance(asked, dict):
                yield {"context": paragraph.get("context", ""), **asked}


def _is_nested(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("paragraphs"), list)


def _paragraphs(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (paragraph for paragraph in data["paragraphs"] if isinstance(paragraph, dict))


def _users(value: Any) -> list[str]:
    """Give a text, or what users say in turns and in lists of turns."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _users(one) if text]
    if not isinstance(value, dict) or value.get("role", value.get("from")) not in USERS:
        return []
    text = value.get("content", value.get("value"))
    return [text] if isinstance(text, str) else []
