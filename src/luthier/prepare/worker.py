"""What is done with a batch: parsed, filtered, formed, cleaned, rendered, written to its shard, boiled down to facts.

It is done in a worker process or in the parent, with the same outcome: a batch is all it looks at.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from luthier.artifact.example import Example, line_of
from luthier.errors import DataError
from luthier.model.template import open_template
from luthier.prepare.clean import record
from luthier.prepare.clean.cleaner import Cleaner, open_cleaner
from luthier.prepare.clean.near import signatures, text_of
from luthier.prepare.dropped import Dropped
from luthier.prepare.facts import FACT, Flag
from luthier.prepare.fault import Fault
from luthier.prepare.filter import known_columns, matches
from luthier.prepare.identity import content_id
from luthier.prepare.lint.checks import Context, learned_characters, row_checks
from luthier.prepare.render import Piece, Renderer
from luthier.prepare.rows import Row, parse
from luthier.prepare.shards import Rendered, write_shard
from luthier.prepare.spec import PrepareSpec, SetSpec
from luthier.prepare.split import hashed, key_hash, key_of, place_hash
from luthier.prepare.task import Describe, Described, Done, Task


@dataclass(frozen=True)
class Candidate:
    """An example before it is rendered, and which row of its batch it is."""

    number: int
    example: Example
    line: int
    is_held: bool


@dataclass(frozen=True)
class Setup:
    """All that a worker must know. Picklable."""

    spec: PrepareSpec
    sets: tuple[SetSpec, ...]
    model_folder: Path
    shards: Path
    context: Context = field(default_factory=Context)

    def open(self) -> "Work":
        """Load the tokenizer, the template and the cleaning rules."""
        template = open_template(self.model_folder)
        return Work(self, Renderer(self.spec, template), open_cleaner(self.spec.clean))


class Work:
    """Does batches."""

    def __init__(self, setup: Setup, renderer: Renderer, cleaner: Cleaner) -> None:
        self._setup, self._renderer, self._cleaner = setup, renderer, cleaner
        self._spec = setup.spec

    def __call__(self, task: Task | Describe) -> Done | Described:
        """Do a batch, or describe the template."""
        if isinstance(task, Task):
            return self.do(task)
        renderer, template = self._renderer, self._renderer.template
        return Described(template.context, renderer.max_tokens, template.hashes(), renderer.markers(), renderer.added())

    def do(self, task: Task) -> Done:
        """Do a batch. A bad row, even a broken rest, is no error here: the parent raises them in their order."""
        done, faults = Done(), dict[int, Fault]()
        candidates = self._cleaned(task, self._read(task, done, faults), done)
        rendered = self._renderer.render([candidate.example for candidate in candidates])
        pieces: list[tuple[Candidate, Piece]] = []
        for candidate, found in zip(candidates, rendered, strict=True):
            if isinstance(found, Fault):
                faults[candidate.number] = found
                continue
            pieces += [(candidate, piece) for piece in found]
            done.expanded += len(found) - 1
        self._note(pieces, task, done)
        in_order = [faults[number] for number in sorted(faults)]
        done.fault = in_order[0] if in_order else None
        for fault in in_order:
            done.dropped.fault(fault)
        write_shard(shard_path(self._setup.shards, task.number), [_stored(piece) for _, piece in pieces])
        if pieces and self._spec.clean.near_duplicates is not None:
            done.signatures = signatures([text_of(piece.example) for _, piece in pieces])
        return done

    def _read(self, task: Task, done: Done, faults: dict[int, Fault]) -> list[Candidate]:
        candidates: list[Candidate] = []
        columns: set[str] = set()
        try:
            parsed = parse(task.batch)
            for number, row in enumerate(parsed if task.form is None else task.form.rows(parsed)):
                done.rows += 1
                if isinstance(row, Row):
                    columns.update(row.data)
                found = self._candidate(number, row, task, done.dropped)
                if isinstance(found, Fault):
                    faults[number] = found
                elif found is not None:
                    candidates.append(found)
        except DataError as error:
            done.broken = error
        done.columns = frozenset(columns)
        return candidates

    def _candidate(self, number: int, row: Row | Fault, task: Task, dropped: Dropped) -> Candidate | Fault | None:
        if isinstance(row, Fault):
            return row
        if not task.form.wants(row):
            dropped.add("filtered out", row.place, "not among the rows that are asked for")
            return None
        found = task.form.read(row)
        if isinstance(found, Fault):
            return found
        held = self._spec.split.hold_out
        if self._spec.split.by == "group" and not found.group:
            return self._without_group(row, str(self._setup.sets[task.set_number].columns.group))
        if held is None or not matches(row.data, held.where):
            return Candidate(number, found, row.line, is_held=False)
        return Candidate(number, replace(found, tag=held.tag), row.line, is_held=True)

    @staticmethod
    def _without_group(row: Row, column: str) -> Fault:
        if column in row.data:
            return Fault("no group", f"{column} is empty", row.place, "fill it in, or set split.by=content")
        mend = f"name one of those there are: {known_columns(column, row.data)}; or set split.by=content"
        return Fault("no group", f"there is no column {column!r}", row.place, mend)

    def _cleaned(self, task: Task, candidates: list[Candidate], done: Done) -> list[Candidate]:
        """Apply the rules that look at one row; what they did is written beside the shard."""
        if not self._cleaner.is_on:
            return candidates
        kept: list[Candidate] = []
        lines: list[str] = []
        for candidate in candidates:
            source = candidate.example.source
            found = self._cleaner.clean(candidate.example)
            lines += [record.line_of(source, change) for change in found.changes]
            done.cleaned.update(record.counts(found.changes))
            if found.example is None:
                change = found.changes[-1]
                # a rule that mends leaves a row out only where it would leave nothing of a text
                is_emptied = change.rule == "html" and self._spec.clean.html == "strip"
                reason = "empty after cleaning" if is_emptied else f"cleaned: {change.rule}"
                done.dropped.add(reason, source, f"{change.where} {change.before}".strip())
            elif not found.changes:
                kept.append(candidate)
            elif _is_empty(found.example):
                done.dropped.add("empty after cleaning", source, "nothing is left of a text")
            else:
                kept.append(replace(candidate, example=replace(found.example, id=content_id(found.example))))
        if lines:
            cleaned_path(self._setup.shards, task.number).write_text("".join(lines), encoding="utf-8")
        return kept

    def _note(self, pieces: Sequence[tuple[Candidate, Piece]], task: Task, done: Done) -> None:
        tags: dict[str, int] = {}
        labels: dict[str, int] = {}
        done.facts = np.zeros(len(pieces), FACT)
        done.facts["set"], done.facts["source"] = task.set_number, task.source_number
        done.facts["batch"], done.facts["number"] = task.number, np.arange(len(pieces))
        rows = [self._fact(candidate, piece, tags, labels) for candidate, piece in pieces]
        for name, values in zip(NOTED, zip(*rows, strict=True), strict=True) if rows else ():
            done.facts[name] = values
        done.tags, done.labels = list(tags), list(labels)
        for _, piece in pieces:
            done.kinds.setdefault(_kind(piece.example), piece.example.source)

    def _fact(
        self, candidate: Candidate, piece: Piece, tags: dict[str, int], labels: dict[str, int]
    ) -> tuple[int | float, ...]:
        example, seed = piece.example, self._spec.split.seed
        marks = row_checks(example, self._setup.context)
        label = label_of(example)
        return (
            int(example.id, 16),
            # all that one conversation gives is asked by the whole conversation: it stays on one side
            key_hash(key_of(candidate.example, self._spec.split), seed),
            place_hash(example.id, seed),
            hashed(example.group) if example.group else 0,
            tags.setdefault(example.tag, len(tags)),
            -1 if label is None else labels.setdefault(label, len(labels)),
            candidate.line,
            piece.length,
            len(piece.rejected.ids),
            piece.supervised,
            sum(len(message.content) for message in example.messages) + sum(len(text) for text in example.texts),
            learned_characters(example, self._spec.train_on, self._spec.reasoning),
            example.weight,
            piece.flags | marks.flags | (Flag.HELD if candidate.is_held else 0),
            marks.asked,
            marks.opening,
            marks.reply,
        )


NOTED = (
    *("id", "key", "place", "group", "tag", "label", "line", "tokens", "rejected", "supervised", "characters"),
    *("answer", "weight", "flags", "asked", "opening", "reply"),
)
"""The facts that `_fact` gives, in its order."""


def label_of(example: Example) -> str | None:
    """Give the class by which rows are counted and dealt; None without one, and where it is a number."""
    if example.desirable is not None:
        return "wanted" if example.desirable else "not wanted"
    if isinstance(example.label, tuple):
        return json.dumps(example.label, ensure_ascii=False)  # joined by commas, ("a, b",) would be ("a", "b")
    return example.label if isinstance(example.label, str) else None


def _is_empty(example: Example) -> bool:
    """Whether cleaning has left nothing of a text that must be there."""
    turns = example.messages if example.rejected is None else (*example.messages, example.rejected)
    texts = [message.content for message in turns if message.role == "user" or not message.calls]
    return not all(text.strip() for text in (*texts, *example.texts))


def _kind(example: Example) -> str:
    """Give the task, and for a classification what kind of label it has."""
    if example.task != "classification":
        return example.task
    label = "several" if isinstance(example.label, tuple) else "one" if isinstance(example.label, str) else "number"
    return f"classification: {label}"


def _stored(piece: Piece) -> Rendered:
    return Rendered(line_of(piece.example).encode(), piece.tokens, piece.rejected)


def shard_path(folder: Path, number: int) -> Path:
    """Where a batch's rows lie."""
    return folder / f"{number:08d}.rows"


def cleaned_path(folder: Path, number: int) -> Path:
    """Where is written what cleaning did in a batch; absent if it did nothing."""
    return folder / f"{number:08d}.cleaned"
