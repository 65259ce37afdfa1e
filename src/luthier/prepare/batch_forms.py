"""Batches of a source, each with the form of its rows: recognised at the first batch of each list of the source."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from luthier.errors import DataError
from luthier.event import Chose, Tell, Warned, hush
from luthier.prepare.batch import Batch
from luthier.prepare.fault import Fault
from luthier.prepare.filter import known_columns
from luthier.prepare.forms import Form, has_form, named_columns, recognise
from luthier.prepare.labels import KIND
from luthier.prepare.nested import LIST
from luthier.prepare.rows import ROWS, Row, batches, parse
from luthier.prepare.source import Source
from luthier.prepare.spec import SetSpec, SplitSpec

UNSEEN = ("test", "dev", "valid", "validation", "val", "eval", "evaluation", "heldout")
"""Names of lists whose rows are hardly meant to be trained on."""


class Numbered:
    """Says, of sources that are read together, which has numbers for labels; looked for when it is first asked."""

    def __init__(self, sets: Iterable[tuple[SetSpec, Sequence[Source]]], split: SplitSpec) -> None:
        self._sources = [(source, one) for one, sources in sets for source in sources]
        self._split = split
        self._found: str | None = None

    def __call__(self) -> str:
        """Give the first source whose labels are numbers by themselves, '' if there is none."""
        if self._found is None:
            self._found = next((source.label for source, one in self._sources if self._has_numbers(source, one)), "")
        return self._found

    def _has_numbers(self, source: Source, one: SetSpec) -> bool:
        if len(self._sources) == 1:
            return False  # it is the one that asks
        try:
            for form, batch in formed_batches(source, one, self._split, hush):
                if form is not None and form.names.get(KIND) == "number":
                    return True
                if form is not None and not batch.list_name:
                    return False
        except DataError:
            pass  # comes again where its rows are read
        return False


def formed_batches(
    source: Source, spec: SetSpec, split: SplitSpec, tell: Tell, numbered: Callable[[], str] = str
) -> Iterator[tuple[Form | None, Batch]]:
    """Cut a source into batches, each with the form of its rows; None while no row of it could be parsed.

    A list of objects that are of no known form is left out and told, where another list of the file has rows.
    `numbered` gives another source whose labels are numbers, '' if there is none. Raises DataError as `batches` and
    `recognise` do.
    """
    lists = _Lists(source, spec, split, tell, numbered)
    for batch in batches(source, spec.encoding, ROWS, tell):
        if lists.holds_rows(batch):
            name = batch.list_name
            yield lists.form[name], replace(batch, beside=lists.beside.get(name, {})) if batch.beside else batch
    lists.end()


@dataclass
class _Lists:
    """What is known of the lists that a source holds; most hold one, without a name."""

    source: Source
    spec: SetSpec
    split: SplitSpec
    tell: Tell
    numbered: Callable[[], str]
    form: dict[str, Form | None] = field(default_factory=dict)
    beside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What goes into the rows of a list of what stands beside it in the file."""
    faults: dict[str, DataError] = field(default_factory=dict)

    def holds_rows(self, batch: Batch) -> bool:
        name = batch.list_name
        if self.form.get(name) is None and name not in self.faults:
            try:
                self.form[name] = self._recognised(batch)
            except DataError as error:
                if not name:
                    raise
                self.faults[name] = error
        return name not in self.faults

    def end(self) -> None:
        if self.faults and not self.form:
            raise next(iter(self.faults.values()))
        for name, error in self.faults.items():
            self.tell(Warned(f"the list {name!r} of {self.source.label} is left out: {error.what}", error.mend))
        unseen = [name for name in self.form if name.lower() in UNSEEN]
        if unseen and len(self.form) > 1:
            other = next((name for name in self.form if name not in unseen), unseen[0])
            what = f"the rows of the list {unseen[0]!r} of {self.source.label} are dealt into all splits, as all others"
            self.tell(Warned(what, f"where.{LIST}={other} reads one list alone"))

    def _recognised(self, batch: Batch) -> Form | None:
        beside: Mapping[str, Any] = self._named(batch.beside)
        head = _rows(batch, beside)
        if not head:
            return None
        if batch.beside and not has_form(head, self.spec):
            beside = batch.beside
            head = _rows(batch, beside)
        if batch.kind == "json lines" and len({row.place for row in head}) < len(head):
            place = next(row.place for row, later in pairwise(head) if row.place == later.place)
            self.tell(Chose("rows", "several on a line", why=f"{place} holds more than one"))
        every = partial(self._all, batch.list_name, beside)
        form = recognise(head[0], self.spec, self.split, self.tell, head[1:], every, self.numbered)
        if beside and not _reads_own(form, batch):
            raise DataError(
                f"its rows have nothing of the form {form.name} but what stands beside the list",
                where=head[0].place,
                mend="say which column is which (columns.*), or make the columns with map",
            )
        if batch.beside:
            self._lend(form, batch, beside)
        return form

    def _named(self, beside: Mapping[str, Any]) -> dict[str, Any]:
        wanted = named_columns(self.spec, self.split) if beside else set[str]()
        return {column: value for column, value in beside.items() if column in wanted}

    def _lend(self, form: Form, batch: Batch, beside: Mapping[str, Any]) -> None:
        """Note what goes into the rows: what the spec names, and what makes their form where they have none."""
        made = {} if form.spec.map else {column: beside[column] for column in form.names.values() if column in beside}
        lent = {**self._named(beside), **made}
        self.beside[batch.list_name] = lent
        why = f"{batch.label} has {known_columns('', batch.beside)} beside its list {batch.list_name}"
        more = "; what else is to be read must be named in columns, where or map"
        why += more if lent.keys() != batch.beside.keys() else ""
        self.tell(Chose("columns all rows have", ", ".join(sorted(lent)) or "none", why=why))

    def _all(self, name: str, beside: Mapping[str, Any]) -> Iterator[Row | Fault]:
        try:
            for batch in batches(self.source, self.spec.encoding, ROWS, hush):
                if batch.list_name == name:
                    yield from _parsed(replace(batch, beside=beside))
        except DataError:
            return  # comes again where the rows are read


def _reads_own(form: Form, batch: Batch) -> bool:
    """Tell whether the form reads some column that the rows of a list have themselves, as far as that can be told."""
    if form.nests or form.spec.map:
        return True
    own = {column for _, value in batch.payload if isinstance(value, dict) for column in value}
    read = {column for name, column in form.names.items() if name != KIND}
    return not own or bool(own & (read or {str(form.spec.columns.user), str(form.spec.columns.assistant)}))


def _rows(batch: Batch, beside: Mapping[str, Any]) -> list[Row]:
    return [row for row in _parsed(replace(batch, beside=beside)) if isinstance(row, Row)]


def _parsed(batch: Batch) -> Iterator[Row | Fault]:
    """Parse a batch; what makes its rest unreadable comes again where its rows are read."""
    try:
        yield from parse(batch)
    except DataError:
        return
