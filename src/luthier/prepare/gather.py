"""Files to unique examples: read, filtered, checked, counted."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.example import Example, Message, plain
from luthier.errors import DataError
from luthier.event import Tell
from luthier.prepare.conversation import is_whole, messages_of, text_of
from luthier.prepare.fault import Fault, settle
from luthier.prepare.filter import known_columns, matches
from luthier.prepare.forms import Form, recognise
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import Source
from luthier.prepare.spec import PrepareSpec


@dataclass(frozen=True)
class Candidate:
    """An example, and whether it is held out from training though its group is not."""

    example: Example
    is_held: bool


@dataclass(frozen=True)
class Gathered:
    """What the files hold. `sources` are figures for the card: path, bytes, sha256, rows."""

    candidates: list[Candidate]
    """In the order in which they were read."""
    sources: list[dict[str, Any]]
    dropped: Counter[str]

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(int(source["rows"]) for source in self.sources)


def gather(spec: PrepareSpec, sources: Sequence[Source], tell: Tell) -> Gathered:
    """Read every file into unique examples.

    Raises DataError for a file that cannot be read, for a bad row unless the spec drops them, and if nothing is left.
    """
    unique: dict[str, Candidate] = {}
    gathered = Gathered([], [], Counter())
    columns: set[str] = set()
    for source in sources:
        count = 0
        form: Form | None = None
        for row in read_rows(source, spec.encoding, tell):
            count += 1
            if isinstance(row, Row):
                columns.update(row.data)
                form = form or recognise(row, spec, tell)
            candidate = _candidate(row, form, spec)
            if candidate is None:
                gathered.dropped["filtered out"] += 1
            elif isinstance(candidate, Fault):
                settle(candidate, spec.bad_rows, gathered.dropped)
            else:
                _keep(candidate, unique, gathered.dropped)
        gathered.sources.append(
            {
                "path": source.label,
                "bytes": source.path.stat().st_size,
                "sha256": atomic.sha256(source.path),
                "rows": count,
            }
        )
    gathered.candidates.extend(unique.values())
    if not unique:
        raise _nothing_left(gathered, spec, columns)
    return gathered


def _candidate(row: Row | Fault, form: Form | None, spec: PrepareSpec) -> Candidate | Fault | None:
    """Give None for a row that the filters leave out."""
    if isinstance(row, Fault) or form is None:
        return row if isinstance(row, Fault) else None
    if not matches(row.data, spec.where):
        return None
    turns = form.read(row.data, spec.columns)
    if isinstance(turns, str):
        return Fault("not of the form", turns, row.place, "write the row as the others are")
    messages = messages_of(turns, _system(row, spec), row.place)
    if isinstance(messages, Fault):
        return messages
    names: dict[str, str] = {}
    for name, column in (("group", spec.columns.group), ("tag", spec.columns.tag)):
        text = text_of(row.data.get(column)) if column else ""
        if text is None or not is_whole(text):
            value = row.data.get(str(column))
            return Fault("not text", f"{column} is {value!r:.60}, not text", row.place, "write it as one text")
        names[name] = text.strip()
    if spec.split.by == "group" and not names["group"]:
        return Fault("no group", f"{spec.columns.group} is empty", row.place, "fill it in, or set split.by=content")
    held = spec.split.hold_out
    is_held = held is not None and matches(row.data, held.where)
    tag = held.tag if held and is_held else names["tag"]
    return Candidate(Example(content_id(messages), messages, row.place, names["group"], tag), is_held)


def _system(row: Row, spec: PrepareSpec) -> Any:
    """Give the row's own system prompt, else the spec's; plain columns are read only where the spec names them."""
    own = row.data.get(spec.columns.system or "system") if spec.columns.system or not spec.columns.user else None
    text = text_of(own)
    return spec.system if text is not None and not text.strip() else own


def content_id(messages: Sequence[Message]) -> str:
    """Give the first 16 hex digits of the SHA-256 of the messages as JSON."""
    text = json.dumps(plain(messages), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep(candidate: Candidate, unique: dict[str, Candidate], dropped: Counter[str]) -> None:
    """Keep one of those with the same content: the one held out, else by name, so the files' order decides nothing."""
    known = unique.get(candidate.example.id)
    if known is not None:
        dropped["duplicate"] += 1
    if known is None or _rank(candidate) < _rank(known):
        unique[candidate.example.id] = candidate


def _rank(candidate: Candidate) -> tuple[bool, str, str]:
    return not candidate.is_held, candidate.example.group, candidate.example.tag


def _nothing_left(gathered: Gathered, spec: PrepareSpec, columns: set[str]) -> DataError:
    where = ", ".join(source["path"] for source in gathered.sources)
    if not gathered.rows:
        return DataError("there are no rows", where=where, mend="put rows into the file")
    missing = [name for name in spec.where if name not in columns]
    if missing:
        mend = f"where.{missing[0]} names no column; there are: {known_columns(missing[0], columns)}"
    else:
        mend = "loosen where, or mend the rows that were dropped"
    return DataError(f"of {gathered.rows} rows none is left ({tally(gathered.dropped)})", where=where, mend=mend)


def tally(counts: Mapping[str, int]) -> str:
    """Say counts in a sentence: `3 duplicate, 1 no answer`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none dropped"
