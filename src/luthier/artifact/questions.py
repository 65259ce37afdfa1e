"""Files of questions: JSON lines, or text with one a line."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.artifact.example import Message
from luthier.errors import DataError, SpecError

SUFFIXES = (".jsonl", ".ndjson", ".txt")


@dataclass(frozen=True)
class Asked:
    """One question of a file."""

    question: str
    history: tuple[Message, ...] = ()
    documents: tuple[str, ...] = ()
    """Labels of documents that hold the answer, where they are known."""
    answerable: bool = True
    answer: str = ""
    """What is to be answered, where it is known; as it stands in the documents, its place can be found."""


def is_file(text: str) -> bool:
    """Whether a question is rather the path of a file of questions."""
    return Path(text).suffix in SUFFIXES and "\n" not in text and (Path(text).is_file() or " " not in text)


def read_questions(path: Path) -> list[Asked]:
    """Read a file. Raises SpecError if it is missing, DataError for a line that holds no question."""
    if not path.is_file():
        raise SpecError(f"there is no file {str(path)!r}", where=str(path.absolute()), mend="give a file of questions")
    found = list(_read(path))
    if not found:
        raise DataError("the file holds no question", where=str(path), mend="write one a line")
    return found


def _read(path: Path) -> Iterator[Asked]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start} is not UTF-8", where=str(path), mend="save the file as UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        yield Asked(line.strip()) if path.suffix == ".txt" else _row(line, f"{path}:{number}")


def _row(line: str, where: str) -> Asked:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"the line is not JSON: {error}", where=where, mend='write {"question": "..."}') from None
    if not isinstance(row, dict) or not isinstance(row.get("question"), str) or not row["question"].strip():
        raise DataError(
            f"the line holds no question: {line[:60]!r}", where=where, mend='write {"question": "..."} on each line'
        )
    unknown = sorted(row.keys() - {"question", "history", "documents", "answerable", "answer", "id"})
    if unknown:
        raise DataError(
            f"unknown key {unknown[0]!r}",
            where=where,
            mend="known here: question, history, documents, answerable, answer, id",
        )
    documents = row.get("documents", ())
    documents = (documents,) if isinstance(documents, str) else tuple(map(str, documents))
    said = str(row.get("answer") or "")
    return Asked(row["question"], _history(row, where), documents, bool(row.get("answerable", True)), said)


def _history(row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    try:
        return tuple(Message(turn["role"], turn["content"]) for turn in row.get("history", ()))
    except (TypeError, KeyError):
        raise DataError(
            f"history is {row['history']!r}",
            where=where,
            mend='write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]',
        ) from None
