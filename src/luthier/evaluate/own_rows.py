"""From the rows of a task of its own to questions: templates filled in, solved rows shown before."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import Prompt
from luthier.errors import DataError, SpecError
from luthier.evaluate.files import RawRow, read_beside, read_raw, shuffle
from luthier.evaluate.kept import key_of
from luthier.evaluate.question import Proof, Question
from luthier.measure.calls import tool_of
from luthier.measure.classes import unknown_references
from luthier.measure.metrics import metrics
from luthier.measure.task import TaskSpec

Columns = Mapping[str, Any]


def read_own(task: TaskSpec, path: Path) -> list[Question]:
    """Read the questions of a task whose rows lie in a file.

    Raises DataError for rows that are missing or do not fill the templates, SpecError for a template that is broken.
    """
    rows = read_beside(task, path, read_raw(path, task.inside))
    shown, rows = _shots(task, path, rows)
    rows = shuffle(task.shuffle, rows) if task.shuffle else rows
    rows = [row for row in rows if not task.where or _fill(f"{{{{ 'y' if {task.where} }}}}", row, "where") == "y"]
    if not rows:
        raise DataError(
            "no row is left to be asked: the task is empty",
            where=str(path),
            mend="give a file with rows, or change `where` and `shots` in the task",
        )
    shots: dict[str, list[RawRow]] = {}
    for shot in shown:
        shots.setdefault(_fill(task.tag, shot, "tag").strip(), []).append(shot)
    questions: dict[str, Question] = {}
    for row in rows:
        question = _question(task, row, shots)
        questions.setdefault(question.id, question)  # what is asked twice would count twice
    if task.labels:
        _check_labels(task, list(questions.values()))
    return list(questions.values())


def _shots(task: TaskSpec, path: Path, rows: list[RawRow]) -> tuple[list[RawRow], list[RawRow]]:
    """Give the rows that may be shown, and those left to be asked."""
    if task.shots is None:
        return [], rows
    wanted = task.shots
    if not wanted.file and not wanted.inside:
        return rows[: wanted.count], rows[wanted.count :]
    other = path.parent / wanted.file if wanted.file else path
    return read_raw(other, wanted.inside), rows


def _question(task: TaskSpec, row: RawRow, shots: Mapping[str, Sequence[RawRow]]) -> Question:
    tag = _fill(task.tag, row, "tag").strip()
    prompt = _prompt(task, row, shots.get(tag, ())[: task.shots.count] if task.shots else ())
    reference = _reference(task, row)
    if not reference.strip() and not task.code and _wants_reference(task):
        raise DataError(
            f"the reference is {reference!r}: no answer can be judged by it",
            where=row.source,
            mend="fill it in, or leave such rows out (`where` in the task)",
        )
    context = _fill(task.context, row, "context") if task.context else ""
    claim = _fill(task.claim, row, "claim")
    options = tuple(_fill(option, row, "options") for option in task.options)
    answer = _label_at(reference, options)
    if options and answer not in [option.strip() for option in options]:
        raise DataError(
            f"the reference is {reference!r}, none of the options {', '.join(map(repr, options))}",
            where=row.source,
            mend="give an option as it stands, or its number counted from 0 (the task's `reference`)",
        )
    code = task.code
    proof = Proof(*(_fill(text, row, "code") for text in (code.begin, code.test, code.entry))) if code else None
    asked = _fill(task.prompt, row, "prompt")
    return Question(
        id=key_of([_shown(prompt), list(options), reference, context, claim, proof.test if proof else ""]),
        source=row.source,
        shown=(asked or claim).strip(),
        asked=asked,
        reference=answer,
        prompt=prompt,
        options=options,
        context=context or asked,
        claim=claim,
        proof=proof,
        label=tag,
        bound=_fill(task.group, row, "group").strip(),
    )


def _wants_reference(task: TaskSpec) -> bool:
    return any(not metrics()[name].needs.startswith(("judged", "log")) for name in task.metrics)


def _prompt(task: TaskSpec, row: RawRow, shots: Sequence[RawRow]) -> Prompt:
    if task.kind != "chat":
        solved = [_fill(task.prompt, shot, "prompt") + _solution(task, shot) + "\n\n" for shot in shots]
        return "".join([*solved, _fill(task.prompt, row, "prompt")])
    turns = [Message("system", _fill(task.system, row, "system"))] if task.system else []
    for shot in shots:
        turns += [Message("user", _fill(task.prompt, shot, "prompt")), Message("assistant", _solution(task, shot))]
    turns.append(Message("user", _fill(task.prompt, row, "prompt")))
    if not task.tools:
        return tuple(turns)
    functions = row.columns.get(task.tools)
    if not isinstance(functions, list):
        raise DataError(
            f"{task.tools!r} is {functions!r}, not a list of functions",
            where=row.source,
            mend="name the column that holds the functions which may be called (tools: ...)",
        )
    return Conversation(tuple(turns), tuple(tool_of(function) for function in functions))


def _solution(task: TaskSpec, shot: RawRow) -> str:
    """What a solved row's answer looks like: its option in full, or the whole of its own solution."""
    if task.options:
        options = [_fill(option, shot, "options") for option in task.options]
        answer = _label_at(_reference(task, shot), tuple(options))
        return next((option for option in options if option.strip() == answer), answer)
    template = task.shots.answer if task.shots and task.shots.answer else task.reference
    return _fill(template, shot, "reference")


def _reference(task: TaskSpec, row: RawRow) -> str:
    return _fill(task.reference, row, "reference")


def _label_at(reference: str, options: Sequence[str]) -> str:
    """A reference that is an option's number stands for the option; so the choice's answers are texts as well."""
    names = [option.strip() for option in options]
    if names and reference.strip() not in names and reference.strip().isdecimal():
        place = int(reference)
        return names[place] if place < len(names) else reference
    return reference.strip() if options else reference


def _shown(prompt: Prompt) -> Any:
    if isinstance(prompt, Conversation):
        return [[[turn.role, turn.content] for turn in prompt.messages], list(prompt.tools)]
    return (
        prompt
        if isinstance(prompt, str)
        else [[turn.role, turn.content] for turn in prompt if isinstance(turn, Message)]
    )


def _check_labels(task: TaskSpec, questions: Sequence[Question]) -> None:
    for question in questions:
        if unknown_references([question.reference], task.labels):
            raise DataError(
                f"the reference is {question.reference!r}, none of the labels {', '.join(task.labels)}",
                where=question.source,
                mend="change the task's `reference` or its `labels`",
            )


def _fill(template: str, row: RawRow, key: str) -> str:
    if "{" not in template:
        return template
    try:
        return str(_template(template).render(row.columns))
    except SpecError:
        raise
    except TemplateError as error:
        raise DataError(
            f"{key} cannot be filled in: {error}",
            where=row.source,
            mend=f"this row's columns: {', '.join(name for name in row.columns if name)}",
        ) from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise DataError(
            f"{key} cannot be filled in: {type(error).__name__}: {error}",
            where=row.source,
            mend=f"change the task's `{key}`",
        ) from None


@cache
def _template(text: str) -> Any:
    try:
        return _environment().from_string(text)
    except TemplateError as error:
        raise SpecError(
            f"not a template: {error}", where=f"task, template {text[:60]!r}", mend="write {{ column }}"
        ) from None


@cache
def _environment() -> SandboxedEnvironment:
    undefined: type[Undefined] = StrictUndefined
    environment = SandboxedEnvironment(undefined=undefined, keep_trailing_newline=True)
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
