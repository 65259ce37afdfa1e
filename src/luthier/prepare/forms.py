"""The forms rows are written in: recognised by their columns, read into examples.

Sources: alpaca, ShareGPT and preference rows as LLaMA-Factory's `data/README.md` describes them; messages as in
OpenAI's chat completions and fine-tuning files; prompt and completion, preference and KTO as TRL's dataset formats.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.artifact.example import Example
from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.prepare import form_chat, form_choice, form_text, labels
from luthier.prepare.batch import Row
from luthier.prepare.fault import BadRow, Fault
from luthier.prepare.filter import known_columns, matches
from luthier.prepare.identity import content_id
from luthier.prepare.nested import LIST, Nest, find_nests, laid_flat
from luthier.prepare.row_map import mapped, variables
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec
from luthier.prepare.values import wanted_text, weight_of

Data = Mapping[str, Any]
Names = dict[str, str]
"""What a form asks for -> the column that holds it."""


@dataclass(frozen=True)
class Kind:
    """How to know a form, and how to read it."""

    names: Callable[[Data, ColumnsSpec], Names]
    """Which columns a row would have to have; the first is what a form is told by."""
    read: Callable[[Data, Names, SetSpec], dict[str, Any]]
    """Gives the fields of an Example. Raises BadRow."""
    fits: Callable[[Data, Names], bool] = lambda data, names: True
    """Whether what stands in the columns is of the form, too."""
    wants: Callable[[Data, Names], bool] = lambda data, names: True
    """Whether a row is meant to be learned from."""


FORMS: dict[str, Kind] = {
    "columns": Kind(form_chat.plain_columns, form_chat.read_columns, lambda data, names: False),
    "preference": Kind(form_choice.preference_columns, form_choice.read_preference),
    "kto": Kind(form_choice.kto_columns, form_choice.read_kto, form_choice.fits_kto, wants=form_choice.has_kto_label),
    "messages": Kind(form_chat.messages_columns, form_chat.read_messages, wants=form_chat.is_liked),
    "conversations": Kind(form_chat.conversations_columns, form_chat.read_messages),
    "extraction": Kind(form_text.extraction_columns, form_text.read_extraction, form_text.fits_extraction),
    "alpaca": Kind(form_chat.alpaca_columns, form_chat.read_alpaca),
    "classification": Kind(form_text.class_columns, form_text.read_classification),
    "reading": Kind(form_text.reading_columns, form_text.read_reading),
    "completion": Kind(form_chat.completion_columns, form_chat.read_completion),
    "text": Kind(form_text.text_columns, form_text.read_text),
}
"""The most telling first: a row with chosen and rejected may have messages too."""


@dataclass(frozen=True)
class Form:
    """How the rows of one file are read. It holds names only, so it travels to other processes."""

    name: str
    names: Names
    spec: SetSpec = field(repr=False)
    nests: tuple[Nest, ...] = ()
    """The lists inside the file's rows in which the rows are that it reads."""

    def rows(self, parsed: Iterable[Row | Fault]) -> Iterator[Row | Fault]:
        """Give the rows to read of those that stand in the file."""
        return laid_flat(parsed, self.nests) if self.nests else iter(parsed)

    def look(self, rows: Iterable[Row | Fault], looked: labels.Looked) -> labels.Looked:
        """Look at the labels of the rows that are asked for."""
        for row in rows:
            if isinstance(row, Row) and self.wants(row):
                try:
                    looked.see(labels.label_in(self._data(row), self.names), row.place)
                except BadRow:
                    continue  # read() says what is wrong
        return looked

    def wants(self, row: Row) -> bool:
        """Tell whether a row passes the set's filter (`where`), and is not one that was disliked."""
        if not matches(row.data, self.spec.where):
            return False
        wants = FORMS[self.name].wants
        try:
            return wants(self._data(row), self.names)
        except BadRow:
            return True  # read() says what is wrong

    def read(self, row: Row) -> Example | Fault:
        """Give a row's example, or what is wrong with it."""
        try:
            data = self._data(row)
            fields = FORMS[self.name].read(data, self.names, self.spec)
            columns = self.spec.columns
            group = self._text(columns.group, data, row.data)
            tag = self._text(columns.tag, data, row.data) or self.spec.tag
            weight = weight_of(_either(columns.weight, data, row.data), str(columns.weight))
            fields.setdefault("messages", ())
            fields["weight"] = 1.0 if weight is None else weight
            example = Example(id="", source=row.place, group=group, tag=tag, **fields)
            return replace(example, id=content_id(example))
        except BadRow as bad:
            return self._fault(bad, row)
        except RecursionError:
            return Fault("not JSON", "the row is nested too deeply", row.place, "write it flatter")

    def _fault(self, bad: BadRow, row: Row) -> Fault:
        """Say it, and which column the row does not even have: it may be of another form than the first."""
        fault = bad.at(row.place)
        columns = self.spec.columns
        wanted = [column for name, column in self.names.items() if name != labels.KIND]
        wanted += [column for column in (columns.user, columns.assistant) if column]
        missing = [column for column in wanted if column not in row.data]
        if self.spec.map or not missing:
            return fault
        return replace(fault, what=f"{fault.what}: the row has no column {missing[0]!r}, as rows of {self.name} have")

    def _data(self, row: Row) -> Data:
        return mapped(row.data, self.spec.map) if self.spec.map else row.data

    @staticmethod
    def _text(column: str | None, data: Data, whole: Data) -> str:
        return wanted_text(_either(column, data, whole), column).strip() if column else ""


def _either(column: str | None, data: Data, whole: Data) -> Any:
    """Give what stands in a column of the map's, else of the file's."""
    return data.get(column, whole.get(column)) if column else None


def recognise(
    first: Row,
    spec: SetSpec,
    split: SplitSpec,
    tell: Tell,
    head: Sequence[Row] = (),
    all_rows: Callable[[], Iterable[Row | Fault]] = tuple,
    numbered: Callable[[], str] = str,
) -> Form:
    """Give the form of a file by its first row, or check the one that is asked for, and tell it.

    `head` are the rows that were read with it: they show lists of rows where the first has empty ones, and what labels
    are. `all_rows` reads the file where they are not enough: whole numbers may be classes or numbers to predict; they
    are numbers too where `numbered` gives another source, read with this one, that has numbers.
    `split` may name columns too (split.hold_out.where). Raises DataError if no form fits, if the file
    lacks a column that the spec names, or if a text in `map` fails on the first row.
    """
    nests = _nests(first, spec, head)
    top = (first, *head)
    if nests:
        first = next((row for row in laid_flat(top, nests) if isinstance(row, Row)), first)
        told = " and ".join(".".join(nest) for nest in nests)
        more = f"; {LIST} says which" if len(nests) > 1 else ""
        tell(Chose("rows", told, why=f"{first.file} has its rows in lists, each with what stands around it{more}"))
    data = _mapped(first, spec)
    name, names = (spec.form, dict[str, str]()) if spec.form != "auto" else _recognised(first, data, spec, tell)
    kind = FORMS[name]
    names = names or kind.names(data, spec.columns)
    for column in names.values():
        _check_there(column, data, first)
    _check_heeded(name, names, spec.columns, data, first)
    if spec.form == "auto":
        _check_label(name, names, data, first)
    # Rows of JSON may leave out what they do not have; a table has each of its columns in every row.
    if first.closed:
        for column in optional(spec.columns):
            _check_there(column, {**first.data, **data}, first)
        for column in (*spec.where, *(split.hold_out.where if split.hold_out else ())):
            _check_there(column, first.data, first)
    form = Form(name, names, spec, nests)
    if name != "classification":
        return form
    looked = form.look(form.rows(top), labels.Looked())
    looked = form.look(form.rows(all_rows()), looked) if looked.is_open else looked
    looked.elsewhere = numbered() if looked.is_open else ""
    tell(looked.told(names["label"]))
    return replace(form, names={**names, labels.KIND: looked.kind})


def _nests(first: Row, spec: SetSpec, head: Sequence[Row]) -> tuple[Nest, ...]:
    """Find the lists inside rows that are of no form themselves; with `map` the spec says what a row is."""
    if spec.map or _form_of(first.data, spec):
        return ()
    for row in (first, *head):
        found = find_nests(row.data, lambda data: bool(_form_of(data, spec)))
        if found:
            return tuple(found)
    return ()


def has_form(rows: Sequence[Row], spec: SetSpec) -> bool:
    """Tell whether rows are of a form, or hold lists of rows that are; with `map` the spec says what a row is."""
    first, *others = rows
    return bool(spec.map or _form_of(first.data, spec) or _nests(first, spec, others))


def _form_of(data: Data, spec: SetSpec) -> str:
    """Give the form of a row by its columns; '' if it is of none, or not of the one that is asked for."""
    asked = "columns" if spec.columns.user is not None else spec.form
    for name, kind in FORMS.items():
        names = kind.names(data, spec.columns)
        is_there = all(column in data for column in names.values())
        if is_there and (asked == name or (asked == "auto" and kind.fits(data, names))):
            return name
    return ""


def _mapped(first: Row, spec: SetSpec) -> Data:
    if not spec.map:
        return first.data
    try:
        return mapped(first.data, spec.map)
    except BadRow as bad:
        raise DataError(bad.what, where=first.place, mend=bad.mend) from None


def _recognised(first: Row, data: Data, spec: SetSpec, tell: Tell) -> tuple[str, Names]:
    if spec.columns.user is not None:
        return "columns", {}
    for name, kind in FORMS.items():
        names = kind.names(data, spec.columns)
        if all(column in data for column in names.values()) and kind.fits(data, names):
            tell(Chose("form", name, why=f"{first.file} has {' and '.join(names.values())}"))
            return name, names
    raise DataError(
        f"the rows are of no known form: their columns are {known_columns('', data) or 'none'}",
        where=first.place,
        mend="say which column is which (columns.user=... columns.assistant=...), or make the columns with map",
    )


def _check_there(column: str, data: Data, first: Row) -> None:
    if column not in data:
        raise DataError(
            f"there is no column {column!r}",
            where=f"{first.file}:1" if first.closed else first.place,
            mend=f"name one of the columns there are: {known_columns(column, data)}",
        )


TELLING = ("messages", "chosen", "rejected", "text", "second_text", "label")
"""Settings of columns that tell a form; each is heeded by some forms alone."""
CHATS = ("messages", "conversations", "alpaca", "completion")


def _check_heeded(form: str, names: Names, columns: ColumnsSpec, data: Data, first: Row) -> None:
    """Raise DataError for a column that the spec names and the form does not read: misspelt, or another form's."""
    for setting in TELLING:
        column = getattr(columns, setting)
        if column is not None and column not in names.values():
            _check_there(column, data, first)
            raise DataError(
                f"columns.{setting} is {column!r}, but rows of the form {form} have no use for it",
                where=first.place,
                mend=f"leave columns.{setting} out, or set form to the one that is meant",
            )


def _check_label(form: str, names: Names, data: Data, first: Row) -> None:
    """Raise DataError where a chat has a label that may say whether its answer is wanted, but need not."""
    label = data.get("label", "")
    if form in CHATS and "request" not in names and (label is None or label in (0, 1, "0", "1")):
        raise DataError(
            f"label is {label!r} beside a chat: it may say that an answer is not wanted",
            where=first.place,
            mend=f"set form=kto if it says whether the answer is wanted, form={form} if it says something else",
        )


def named_columns(spec: SetSpec, split: SplitSpec) -> set[str]:
    """Give the columns that are named by columns, where and map, and the one of the system prompt.

    Raises DataError for a text in `map` that is not Jinja.
    """
    columns = {column for column in spec.columns.model_dump().values() if column is not None}
    held = split.hold_out.where if split.hold_out else {}
    return columns | {spec.columns.system or "system", *spec.where, *held} | variables(spec.map)


def optional(columns: ColumnsSpec) -> list[str]:
    """Give the columns that are named, but may be missing in a row."""
    named = (columns.system, columns.history, columns.tools, columns.group, columns.tag, columns.weight)
    return [column for column in named if column is not None]
