"""Batches of a source, each with the form of its rows: recognised at the first batch of each list of the source."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from luthier.errors import DataError
from luthier.event import Chose, Tell, Warned, hush
from luthier.prepare.batch import Batch
from luthier.prepare.fault import Fault
from luthier.prepare.forms import Form, recognise
from luthier.prepare.nested import LIST
from luthier.prepare.rows import ROWS, Row, batches, parse
from luthier.prepare.source import Source
from luthier.prepare.spec import SetSpec, SplitSpec

UNSEEN = ("test", "dev", "valid", "validation", "val", "eval", "evaluation", "heldout")
"""Names of lists whose rows are hardly meant to be trained on."""


def formed_batches(source: Source, spec: SetSpec, split: SplitSpec, tell: Tell) -> Iterator[tuple[Form | None, Batch]]:
    """Cut a source into batches, each with the form of its rows; None while no row of it could be parsed.

    A list of objects that are of no known form is left out and told, where another list of the file has rows. Raises
    DataError as `batches` and `recognise` do.
    """
    lists = _Lists(source, spec, split, tell)
    for batch in batches(source, spec.encoding, ROWS, tell):
        if lists.holds_rows(batch):
            yield lists.form[batch.list_name], batch
    lists.end()


@dataclass
class _Lists:
    """What is known of the lists that a source holds; most hold one, without a name."""

    source: Source
    spec: SetSpec
    split: SplitSpec
    tell: Tell
    form: dict[str, Form | None] = field(default_factory=dict)
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
        head = [row for row in _parsed(batch) if isinstance(row, Row)]
        if not head:
            return None
        if batch.kind == "json lines" and len({row.place for row in head}) < len(head):
            place = next(row.place for row, later in pairwise(head) if row.place == later.place)
            self.tell(Chose("rows", "several on a line", why=f"{place} holds more than one"))
        every = partial(self._all, batch.list_name)
        return recognise(head[0], self.spec, self.split, self.tell, head[1:], every)

    def _all(self, name: str) -> Iterator[Row | Fault]:
        try:
            for batch in batches(self.source, self.spec.encoding, ROWS, hush):
                if batch.list_name == name:
                    yield from _parsed(batch)
        except DataError:
            return  # comes again where the rows are read


def _parsed(batch: Batch) -> Iterator[Row | Fault]:
    """Parse a batch; what makes its rest unreadable comes again where its rows are read."""
    try:
        yield from parse(batch)
    except DataError:
        return
