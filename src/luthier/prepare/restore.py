"""`luthier prepare --restore`: the rows that cleaning changed or left out, as their files have them, each with why.

What cleaning did is told by `cleaned.jsonl`; the rows themselves are read from their files once more, so that what the
record may not hold (personal data) comes back too. Where several rows stand in one line, the rules are applied anew to
tell which of them are meant.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from luthier.artifact.example import Example
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare.batch_forms import Numbered, formed_batches
from luthier.prepare.clean import record
from luthier.prepare.clean.cleaner import Cleaner, open_cleaner
from luthier.prepare.forms import Form
from luthier.prepare.identity import content_id
from luthier.prepare.rows import Row, parse
from luthier.prepare.sets import Sets, rows_sets, sets_of
from luthier.prepare.spec import PrepareSpec

SOURCE, WHY = "_source", "_why"
"""Columns that each row is given: `file:line`, and what was done to it, as `cleaned.jsonl` says it."""
AGAIN = "prepare the rows again as they are now, with the rule off"
Lines = list[dict[str, Any]]


def restore(made: Artifact, store: Store) -> Iterator[dict[str, Any]]:
    """Give each row that cleaning changed or left out, in the order of its files.

    Raises KindError for another kind of artifact, DataError if a file is gone or not what it was, or if a column holds
    what JSON does not.
    """
    check_kind(made, "examples", "restore")
    wanted = _recorded(made.folder)
    if not wanted:
        return
    spec = _spec_of(made)
    sets = _sets(made, spec, store)
    _check_unchanged(made, sets)
    numbered = Numbered(sets, spec.split)
    pick = _Pick(open_cleaner(spec.clean), wanted)
    for one, sources in sets:
        for source in sources:
            rows = (
                (row, form)
                for form, batch in formed_batches(source, one, spec.split, hush, numbered)
                for row in (parse(batch) if form is None else form.rows(parse(batch)))
                if isinstance(row, Row)
            )
            for place, group in groupby(rows, key=lambda pair: pair[0].place):
                yield from pick(place, list(group)) if place in wanted else ()


def restored_lines(made: Artifact, store: Store, counts: Counter[str]) -> Iterator[str]:
    """Give the rows as lines of JSON; `counts` comes to hold how many were changed, and how many dropped."""
    for row in restore(made, store):
        counts["dropped" if any(why["action"] == "dropped" for why in row[WHY]) else "changed"] += 1
        try:
            yield json.dumps(row, ensure_ascii=False) + "\n"
        except (TypeError, ValueError) as error:
            raise DataError(
                f"a column holds what JSON does not: {error}", where=row[SOURCE], mend="read the row in its own file"
            ) from None


def _recorded(folder: Path) -> dict[str, Lines]:
    """Read what was done: `file:line` -> lines, without the place."""
    found: dict[str, Lines] = {}
    path = folder / record.NAME
    if path.exists():
        with path.open(encoding="utf-8") as file:
            for line in file:
                form = json.loads(line)
                found.setdefault(form.pop("source"), []).append(form)
    return found


def _spec_of(made: Artifact) -> PrepareSpec:
    """Give the settings it was made with; those at their defaults count as not given, as they were."""
    plain, defaults = dict(made.order.spec), PrepareSpec().model_dump(mode="json")
    given = {key: value for key, value in plain.items() if value != defaults[key]}
    if "clean" in given:
        clean = defaults["clean"]
        given["clean"] = {key: value for key, value in given["clean"].items() if value != clean[key]}
    return PrepareSpec.model_validate(given)


def _sets(made: Artifact, spec: PrepareSpec, store: Store) -> Sets:
    rows = made.order.inputs.get("rows")
    fetched = store.find(rows, "rows") if rows else None
    try:
        return sets_of(spec, fetched) or rows_sets(spec, fetched)
    except DataError as error:
        raise DataError(
            f"the rows are not where they were: {error.what}",
            where=error.where,
            mend="bring the file back, and call restore in the folder where prepare was called",
        ) from None


def _check_unchanged(made: Artifact, sets: Sets) -> None:
    """Raise DataError for a file that is another by now: its lines are not those that the record means."""
    known = {source["path"]: source for source in made.card.figures["sources"]}
    for source in (source for _, sources in sets for source in sources):
        kind, _, value = source.identity().partition(":")
        if known.get(source.label, {}).get(kind) != value:
            raise DataError(
                f"{source.label} is not the file that was prepared",
                where=f"{source.path}, {made.id}",
                mend=f"bring back the file as it was, or {AGAIN}",
            )


@dataclass
class _Pick:
    """Tells which of the rows at a place are meant."""

    cleaner: Cleaner
    wanted: Mapping[str, Lines]

    def __call__(self, place: str, rows: Sequence[tuple[Row, Form | None]]) -> Iterator[dict[str, Any]]:
        lines = self.wanted[place]
        if len(rows) == 1:
            yield _restored(rows[0][0], [_told(line) for line in lines])
            return
        again = {line["id"]: _told(line) for line in lines if "id" in line}
        changes = [line for line in lines if "id" not in line]
        done = [(row, *self._cleaned(row, form)) for row, form in rows]
        stay = Counter(id for _, _, id in done)
        stay.subtract(line["id"] for line in lines if "id" in line)
        if [change for _, changes, _ in done for change in changes] != changes:
            raise DataError(
                "cleaning does to its rows what the record does not say",
                where=place,
                mend=f"restore with the version, and the blocklist, it was prepared with, or {AGAIN}",
            )
        for row, why, id in done:
            # of rows alike in one line the first stay: they have the same content
            is_again = id in again and stay[id] <= 0
            stay[id] -= 1
            if why or is_again:
                yield _restored(row, [*why, again[id]] if is_again else why)

    def _cleaned(self, row: Row, form: Form | None) -> tuple[Lines, str]:
        """Give what cleaning does to a row, and the id of what it leaves; '' if that is nothing."""
        example = form.read(row) if form is not None and form.wants(row) else None
        if not isinstance(example, Example):
            return [], ""
        if not self.cleaner.is_on:
            return [], example.id
        cleaned = self.cleaner.clean(example)
        done = [json.loads(record.line_of("", change)) for change in cleaned.changes]
        return [_told(line) for line in done], content_id(cleaned.example) if cleaned.example is not None else ""


def _told(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("source", "id")}


def _restored(row: Row, why: Lines) -> dict[str, Any]:
    return {**row.data, SOURCE: row.place, WHY: why}
