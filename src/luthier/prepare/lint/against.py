"""The evaluation questions that training rows are held against: read from task files and from files of rows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import DataError
from luthier.event import Said, Tell, Warned, hush
from luthier.measure.task import read_task
from luthier.prepare.lint.passages import Passages, passages_of
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import find_sources

QUESTIONS = ("question", "instruction", "prompt", "problem", "query", "goal", "ctx", "sentence", "text", "input")
"""Columns in which the evaluation sets in use keep what they ask, the surest first: GSM8K, MMLU, C-Eval and TruthfulQA
`question`, HumanEval and IFEval `prompt`, MATH `problem`, PIQA `goal`, HellaSwag `ctx`."""
TURNS = ("messages", "conversations", "turns")
USERS = ("user", "human")


def read_passages(paths: Sequence[str], width: int, tell: Tell) -> Passages | None:
    """Read every question into passages of `width` words; None if there are no rows to hold anything against.

    A task file without rows of its own judges the rows that the split holds back: it is told, and passed over.
    Raises DataError for a file that cannot be read or in which no row asks anything, SpecError for a bad task file.
    """
    questions: list[tuple[str, str]] = []
    for path in paths:
        if Path(path).suffix in (".yaml", ".yml"):
            read_task(Path(path))
            tell(
                Warned(
                    f"{path} has no rows of its own: it judges the rows that the split holds back",
                    "name the file of rows of an evaluation set in lint.against",
                )
            )
            continue
        found = [pair for source in find_sources([path]) for pair in _asked(read_rows(source, "auto", hush))]
        if not found:
            raise DataError(
                f"no row of {path!r} asks anything",
                where="key lint.against",
                mend=f"give rows with one of the columns {', '.join((*QUESTIONS, *TURNS))}",
            )
        tell(Said(f"lint.against: {len(found):,} questions in {path}"))
        questions += found
    return passages_of(questions, width) if questions else None


def _asked(rows: Iterator[Any]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if isinstance(row, Row):
            yield from ((row.place, text) for text in questions_of(row.data) if text.strip())


def questions_of(data: Mapping[str, Any]) -> list[str]:
    """Give what a row of an evaluation set asks."""
    for name in TURNS:
        if isinstance(data.get(name), list):
            return [text for turn in data[name] if (text := _turn(turn))]
    if isinstance(data.get("instruction"), str) and isinstance(data.get("input"), str):
        return [f"{data['instruction']}\n{data['input']}".strip()]
    for name in QUESTIONS:
        if isinstance(data.get(name), str) and data[name].strip():
            return [data[name]]
    return []


def _turn(turn: Any) -> str:
    if isinstance(turn, str):
        return turn
    if not isinstance(turn, dict) or turn.get("role", turn.get("from")) not in USERS:
        return ""
    text = turn.get("content", turn.get("value"))
    return text if isinstance(text, str) else ""
