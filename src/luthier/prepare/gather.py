"""All rows of all files, done in batches: what the parent keeps is facts, the rows themselves lie in shards."""

import json
import os
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from luthier.artifact.example import Example, from_plain
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, LuthierError, SpecError
from luthier.event import Chose, Progress, Tell, Warned
from luthier.pool import ordered
from luthier.prepare.batch_forms import Numbered, formed_batches
from luthier.prepare.dropped import Dropped, tally
from luthier.prepare.facts import FACT, Facts
from luthier.prepare.filter import known_columns
from luthier.prepare.forms import optional
from luthier.prepare.shards import NOTHING, Shard, read_shard
from luthier.prepare.source import Source
from luthier.prepare.spec import PrepareSpec, SetSpec
from luthier.prepare.task import Describe, Described, Done, Task, kind_of
from luthier.prepare.worker import Setup, shard_path

FEW_BATCHES = 8
"""Up to so many batches no worker is started: it would take longer to start than to do them."""
SIGNATURES = "signatures"
TOLD_EVERY = 4096
"""Rows between two Progress events."""


@dataclass
class Gathered:
    """What the files hold."""

    spec: PrepareSpec
    folder: Path
    """Where the shards lie."""
    sources: list[dict[str, Any]]
    """Figures for the card: path, bytes, sha256, rows."""
    model: Described
    facts: Facts = field(default_factory=lambda: np.zeros(0, FACT))
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    """Task, with the kind of its labels -> the first row of it."""
    dropped: Dropped = field(default_factory=Dropped)
    cleaned: Counter[str] = field(default_factory=Counter)
    expanded: int = 0
    columns: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(int(source["rows"]) for source in self.sources)

    @property
    def task(self) -> str:
        """What the examples are for: supervised, preference, kto or classification."""
        return kind_of(next(iter(self.kinds)).partition(":")[0]) if self.kinds else "supervised"

    def place(self, row: int) -> str:
        """Give `file:line` of a row."""
        fact = self.facts[row]
        return f"{self.sources[int(fact['source'])]['path']}:{int(fact['line'])}"

    def shard(self, batch: int) -> Shard:
        """Read a batch's rows."""
        return read_shard(shard_path(self.folder, batch))

    def example(self, row: int) -> Example:
        """Read a row."""
        fact = self.facts[row]
        return from_plain(json.loads(self.shard(int(fact["batch"])).line(int(fact["number"]))))

    def tokens(self, row: int) -> tuple[Tokens, Tokens]:
        """Read a row's tokens, and those of the worse answer of a pair."""
        fact = self.facts[row]
        shard, number = self.shard(int(fact["batch"])), np.array([int(fact["number"])])
        return shard.chosen.block(number), shard.rejected.block(number) if fact["rejected"] else NOTHING


def gather(
    setup: Setup,
    sources: Sequence[Sequence[Source]],
    tell: Tell,
    *,
    processes: int | None = None,
    is_lint: bool = False,
) -> Gathered:
    """Do every row of each set's files, in `processes` processes (None: as many as there are cores).

    With `is_lint`, bad rows are counted whatever the spec says. Raises DataError for a file that cannot be read and
    for a bad row unless the spec drops them, SpecError if rows of several tasks are put together.
    """
    flat = [source for files in sources for source in files]
    tasks = _tasks(setup, sources, tell)
    begun, failed = _begun(tasks)
    sent: deque[Task] = deque()

    def asked() -> Iterator[Task | Describe]:
        yield Describe()
        for task in chain(begun, _rest(tasks, failed)):
            sent.append(task.emptied)
            yield task

    with (
        closing(_answers(setup, asked(), _workers(processes, len(begun)))) as answers,
        (setup.shards / SIGNATURES).open("wb") as signatures,
    ):
        gathered = Gathered(setup.spec, setup.shards, [_figures(source) for source in flat], next(answers))
        if setup.spec.length.max_tokens is None:
            tell(Chose("length.max_tokens", str(gathered.model.max_tokens), why="the model's context"))
        collect = _Collect(gathered, is_lint or setup.spec.bad_rows == "drop")
        show = _Shown(flat, tell)
        for done in answers:
            task = sent.popleft()
            collect.add(task, done, signatures)
            show(task, gathered.rows)
    collect.finish(may_be_empty=is_lint)
    _warn_of_unknown(setup.sets, gathered.columns, tell)
    return gathered


def _warn_of_unknown(sets: Sequence[SetSpec], columns: set[str], tell: Tell) -> None:
    """Warn of columns that may be missing in a row, but are in none: a misspelt name would change nothing."""
    for one in sets:
        for name in optional(one.columns):
            if name not in columns and name not in one.map:
                what = f"no row of {', '.join(one.paths)} has the column {name!r}"
                tell(Warned(what, f"name one of: {known_columns(name, sorted(columns))}"))


def _workers(processes: int | None, batches_begun: int) -> int:
    """Say how many workers are started; 0: it is done here, where the libraries it takes are loaded already.

    A worker loads them without torch (`luthier/pool.py`), in a second or two and a third of the memory.
    """
    wanted = 1 if batches_begun <= FEW_BATCHES else processes or os.cpu_count() or 1
    return 0 if wanted == 1 and "transformers" in sys.modules else wanted


def _answers(setup: Setup, tasks: Iterator[Task | Describe], workers: int) -> Generator[Any, None, None]:
    if workers:
        yield from ordered(setup, tasks, workers)
        return
    work = setup.open()
    for task in tasks:
        yield work(task)


def _figures(source: Source) -> dict[str, Any]:
    kind, _, value = source.identity().partition(":")
    return {"path": source.label, "bytes": source.bytes, kind: value, "rows": 0}


def _tasks(setup: Setup, sources: Sequence[Sequence[Source]], tell: Tell) -> Iterator[Task]:
    number = source_number = 0
    numbered = Numbered(zip(setup.sets, sources, strict=True), setup.spec.split)
    for set_number, (one, files) in enumerate(zip(setup.sets, sources, strict=True)):
        for source in files:
            for form, batch in formed_batches(source, one, setup.spec.split, tell, numbered):
                yield Task(number, set_number, source_number, form, batch)
                number += 1
            source_number += 1


def _begun(tasks: Iterator[Task]) -> tuple[list[Task], LuthierError | None]:
    """Take the first tasks; an error of reading is put off: what was read before it is done first."""
    begun: list[Task] = []
    try:
        for task in tasks:
            begun.append(task)
            if len(begun) > FEW_BATCHES:
                break
    except LuthierError as error:
        return begun, error
    return begun, None


def _rest(tasks: Iterator[Task], failed: LuthierError | None) -> Iterator[Task]:
    if failed is not None:
        raise failed
    yield from tasks


class _Shown:
    """Tells how many rows are done, of how many: guessed from the bytes read so far, where files are not packed."""

    def __init__(self, sources: Sequence[Source], tell: Tell) -> None:
        self._tell = tell
        self._sizes = [source.bytes for source in sources]
        self._is_guessable = not any(source.packing for source in sources)
        self._told = 0

    def __call__(self, task: Task, rows: int) -> None:
        if rows - self._told < TOLD_EVERY:
            return
        self._told = rows
        read = sum(self._sizes[: task.source_number]) + min(task.batch.offset, self._sizes[task.source_number])
        guess = rows * sum(self._sizes) // read if read and self._is_guessable else rows
        self._tell(Progress("rows", rows, max(rows, guess), "rows"))


class _Collect:
    """Puts batches together in their order."""

    def __init__(self, gathered: Gathered, drops_bad_rows: bool) -> None:
        self.gathered, self._drops = gathered, drops_bad_rows
        self._facts: list[Facts] = []
        self._tags: dict[str, int] = {}
        self._labels: dict[str, int] = {}

    def add(self, task: Task, done: Done, signatures: BinaryIO) -> None:
        """Take in a batch. Raises DataError for its first bad row, unless those are dropped."""
        gathered = self.gathered
        if done.fault is not None and not self._drops:
            raise done.fault.error()
        if done.broken is not None:
            raise done.broken
        gathered.sources[task.source_number]["rows"] += done.rows
        gathered.dropped.merge(done.dropped)
        gathered.cleaned.update(done.cleaned)
        gathered.expanded += done.expanded
        gathered.columns |= done.columns
        for kind, place in done.kinds.items():
            gathered.kinds.setdefault(kind, place)
        _check_one_task(gathered.kinds)
        done.facts["tag"] = _renumbered(done.facts["tag"], done.tags, self._tags)
        done.facts["label"] = _renumbered(done.facts["label"], done.labels, self._labels)
        self._facts.append(done.facts)
        if done.signatures is not None:
            signatures.write(done.signatures.tobytes())

    def finish(self, *, may_be_empty: bool) -> None:
        """Join the facts. Raises DataError if there are no rows, or, unless it may be, if nothing is left of them."""
        gathered = self.gathered
        gathered.facts = np.concatenate(self._facts) if self._facts else gathered.facts
        gathered.tags, gathered.labels = list(self._tags), list(self._labels)
        if not len(gathered.facts) and not (may_be_empty and gathered.rows):
            raise _nothing_left(gathered)


def _renumbered(numbers: Any, names: Sequence[str], known: dict[str, int]) -> Any:
    """Give a batch's numbers of names as all batches together number them; -1 stays."""
    if not names:
        return numbers
    table = np.array([known.setdefault(name, len(known)) for name in names] + [-1], np.int64)
    return table[numbers.astype(np.int64)]


def _check_one_task(kinds: dict[str, str]) -> None:
    """Raise SpecError where rows of one task meet rows of another: what would learn from both?"""
    if len({kind_of(kind.partition(":")[0]) for kind in kinds}) <= 1 and sum(":" in kind for kind in kinds) <= 1:
        return
    (one, first), *_, (other, second) = kinds.items()
    is_labels = all(":" in kind for kind in kinds)
    raise SpecError(
        f"rows of two kinds are put together: {one} at {first}, {other} at {second}",
        where="key source",
        mend="write the labels of all files in one way, or prepare each kind by itself"
        if is_labels
        else "prepare each kind of rows by itself, or say the form they all have (form=...)",
    )


def _nothing_left(gathered: Gathered) -> DataError:
    where = ", ".join(source["path"] for source in gathered.sources)
    if not gathered.rows:
        return DataError("there are no rows", where=where, mend="put rows into the file")
    wanted = [name for one in gathered.spec.all_sets((where,)) for name in one.where]
    missing = [name for name in wanted if name not in gathered.columns]
    if missing:
        mend = f"where.{missing[0]} names no column; there are: {known_columns(missing[0], sorted(gathered.columns))}"
    else:
        mend = "loosen where, or mend the rows that were dropped"
    return DataError(f"of {gathered.rows} rows none is left ({tally(gathered.dropped.counts)})", where=where, mend=mend)
