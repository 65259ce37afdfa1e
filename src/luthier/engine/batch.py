"""Thousands of questions from a file, answered at full batch into another, which may be broken off at any time."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.artifact.example import Message
from luthier.engine.ports import Answer, ChatModel, Prompt, Sampling
from luthier.errors import DataError
from luthier.event import Progress, Said, Tell, hush

ROWS_AT_ONCE = 256
"""Answers lost at most when it is broken off: so many are asked together, then written."""
FORMS = '{"messages": [{"role": "user", "content": ...}]}, {"question": ...} or {"prompt": ...}'


def answer_file(
    model: ChatModel,
    questions: Path,
    answers: Path,
    *,
    system: str | None = None,
    sampling: Sampling | None = None,
    tell: Tell = hush,
) -> int:
    """Answer each row of a JSON lines file; gives how many answers were made now.

    A row holds `messages`, a `question` (asked as a user's turn) or a `prompt` (taken as it is). Its answer is a line
    with the question's line number, `id` if it has one, text, finish and token counts; a row that cannot be answered
    gets an `error` in place of those. Rows that are answered already are left as they are.
    Raises DataError for a file that is not rows of these forms, and for answers of other questions or another model.
    """
    sampling = sampling or Sampling()
    rows = _read(questions, system)
    done = _done(answers, {number: _mark(row, model, sampling) for number, (row, _) in rows.items()}, questions)
    left = [number for number in rows if number not in done]
    if done:
        tell(Said(f"{len(done)} of {len(rows)} questions are answered already in {answers}"))
    answers.parent.mkdir(parents=True, exist_ok=True)
    with answers.open("a", encoding="utf-8") as out:
        for begin in range(0, len(left), ROWS_AT_ONCE):
            numbers = left[begin : begin + ROWS_AT_ONCE]
            found = _answers(model, [rows[number][1] for number in numbers], sampling)
            for number, answer in zip(numbers, found, strict=True):
                row = rows[number][0]
                line = {
                    "line": number,
                    "asked": _mark(row, model, sampling),
                    "model": model.name,
                    **_plain(row, answer),
                }
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()
            tell(Progress("answers", len(done) + begin + len(numbers), len(rows), "answers"))
    return len(left)


def _read(path: Path, system: str | None) -> dict[int, tuple[Mapping[str, Any], Prompt]]:
    """Give each row by the number of its line, with the prompt it asks."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the questions cannot be read: {error}", where=str(path), mend="give a file of JSON lines in UTF-8"
        ) from None
    rows = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _json(line, f"{path}:{number}")
            rows[number] = (row, _prompt(row, system, f"{path}:{number}"))
    if not rows:
        raise DataError("there are no questions", where=str(path), mend=f"write one a line: {FORMS}")
    return rows


def _json(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"the line is not JSON: {error}", where=where, mend=f"write {FORMS}") from None
    if not isinstance(row, dict):
        raise DataError(f"the line is no object: {line[:60]}", where=where, mend=f"write {FORMS}")
    return row


def _prompt(row: Mapping[str, Any], system: str | None, where: str) -> Prompt:
    if isinstance(row.get("prompt"), str):
        return str(row["prompt"])
    turns = row.get("messages", [{"role": "user", "content": row.get("question")}])
    try:
        has_system = turns[0]["role"] == "system"
        opening = [{"role": "system", "content": system}] if system and not has_system else []
        messages = tuple(Message(turn["role"], turn["content"]) for turn in [*opening, *turns])
    except (TypeError, KeyError, IndexError):
        messages = ()
    if not messages or not all(isinstance(turn.content, str) for turn in messages):
        raise DataError(f"the row asks nothing: its keys are {', '.join(row)}", where=where, mend=f"write {FORMS}")
    return messages


def _mark(row: Mapping[str, Any], model: ChatModel, sampling: Sampling) -> str:
    """A hash of the question, of who is asked and of how."""
    text = json.dumps([row, model.name, asdict(sampling)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _done(path: Path, marks: Mapping[int, str], questions: Path) -> set[int]:
    """Give the numbers that are answered; what a kill left of a line is cut off."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    done = set()
    for place, line in enumerate(whole.decode("utf-8").splitlines(), 1):
        row = _json(line, f"{path}:{place}")
        if marks.get(row.get("line", 0)) != row.get("asked"):
            raise DataError(
                f"the answer is to another question than in {questions}, by another model, or drawn otherwise",
                where=f"{path}:{place}",
                mend="give another --out, or remove this file to begin anew",
            )
        done.add(int(row["line"]))
    return done


def _answers(model: ChatModel, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Answer | DataError]:
    """Answer rows together; one that is refused is found by halves, and does not keep the others from their answers."""
    try:
        yield from model.answer(prompts, sampling, hush)
    except DataError as error:
        if error.where.startswith("key "):  # a wish that no row can have
            raise
        if len(prompts) == 1:
            yield error
            return
        middle = len(prompts) // 2
        yield from _answers(model, prompts[:middle], sampling)
        yield from _answers(model, prompts[middle:], sampling)


def _plain(row: Mapping[str, Any], answer: Answer | DataError) -> dict[str, Any]:
    named = {"id": row["id"]} if "id" in row else {}
    if isinstance(answer, DataError):
        return named | {"error": answer.what}
    details = {"details": dict(answer.details)} if answer.details else {}
    return named | {
        "answer": answer.text,
        "finish": answer.finish,
        "prompt_tokens": answer.tokens_read,
        "tokens": answer.tokens_said,
        **details,
    }
