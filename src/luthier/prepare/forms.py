"""The forms rows are written in: recognised by their keys, read into turns.

Sources: alpaca (instruction, input, output, history) and ShareGPT (from, value) as LLaMA-Factory's `data/README.md`
describes them; role and content as in OpenAI's chat completions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.prepare.filter import known_columns
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, PrepareSpec

Turn = tuple[Any, Any]
"""A role's name and a text as the file has them, not yet checked."""
Read = Callable[[Mapping[str, Any], ColumnsSpec], list[Turn] | str]
"""Gives a row's turns, or says what keeps it from being of the form."""


@dataclass(frozen=True)
class Form:
    """How to know a form, and how to read it."""

    needs: Callable[[ColumnsSpec], tuple[str, ...]]
    """The columns without which a row is not of this form."""
    read: Read


def _alpaca(data: Mapping[str, Any], columns: ColumnsSpec) -> list[Turn] | str:
    turns: list[Turn] = []
    history = data.get("history") or []
    if not isinstance(history, list):
        return f"history is {history!r}, not a list"
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            return f"history holds {pair!r}, not [question, answer]"
        turns += [("user", pair[0]), ("assistant", pair[1])]
    question, extra = data.get("instruction"), data.get("input")
    if isinstance(question, str) and isinstance(extra, str) and extra.strip():
        question = f"{question}\n{extra}" if question.strip() else extra
    return [*turns, ("user", question), ("assistant", data.get("output"))]


def _columns(data: Mapping[str, Any], columns: ColumnsSpec) -> list[Turn] | str:
    return [("user", data.get(str(columns.user))), ("assistant", data.get(str(columns.assistant)))]


def _turns(name: str) -> Read:
    """Make a reader of rows that hold a list of turns under a name; both ways to write a turn are understood."""

    def read(data: Mapping[str, Any], columns: ColumnsSpec) -> list[Turn] | str:
        listed = data.get(name)
        if not isinstance(listed, list):
            return f"{name} is {listed!r:.60}, not a list of turns"
        turns: list[Turn] = []
        for number, turn in enumerate(listed, 1):
            if not isinstance(turn, dict):
                return f"turn {number} of {name} is {turn!r:.60}, not an object"
            role = "tool" if turn.get("tool_calls") else turn.get("role", turn.get("from"))
            turns.append((role, turn.get("content", turn.get("value"))))
        return turns

    return read


FORMS: dict[str, Form] = {
    "columns": Form(lambda columns: (str(columns.user), str(columns.assistant)), _columns),
    "messages": Form(lambda columns: ("messages",), _turns("messages")),
    "conversations": Form(lambda columns: ("conversations",), _turns("conversations")),
    "alpaca": Form(lambda columns: ("instruction", "output"), _alpaca),
}


def recognise(first: Row, spec: PrepareSpec, tell: Tell) -> Form:
    """Give the form of a file by its first row, or check the one that is asked for.

    Raises DataError if no form fits, or if the file lacks a column that the spec names.
    """
    name = spec.form if spec.form != "auto" else _recognised(first, spec, tell)
    form = FORMS[name]
    # Rows of JSON may leave out what they do not have; a table has each of its columns in every row.
    asked = [*form.needs(spec.columns), *(_optional(spec) if first.closed else ())]
    for column in asked:
        if column not in first.data:
            raise DataError(
                f"there is no column {column!r}",
                where=first.place if not first.closed else f"{first.place.rpartition(':')[0]}:1",
                mend=f"name one of the columns there are: {known_columns(column, first.data)}",
            )
    return form


def _recognised(first: Row, spec: PrepareSpec, tell: Tell) -> str:
    if spec.columns.user is not None:
        return "columns"
    for name, form in FORMS.items():
        needed = form.needs(spec.columns)
        if name != "columns" and all(column in first.data for column in needed):
            tell(Chose("form", name, why=f"{first.place.rpartition(':')[0]} has {' and '.join(needed)}"))
            return name
    raise DataError(
        f"the rows are of no known form: their columns are {known_columns('', first.data) or 'none'}",
        where=first.place,
        mend="say which column is which: columns.user=... columns.assistant=...",
    )


def _optional(spec: PrepareSpec) -> list[str]:
    held = spec.split.hold_out.where if spec.split.hold_out else {}
    named = (spec.columns.system, spec.columns.group, spec.columns.tag)
    return [*(column for column in named if column is not None), *spec.where, *held]
