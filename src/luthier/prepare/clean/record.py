"""`cleaned.jsonl`: what the rules did to each row, so that it can be counted, read and undone."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from luthier.artifact.example import Example
from luthier.errors import DataError
from luthier.prepare.clean import places
from luthier.prepare.clean.change import Change

NAME = "cleaned.jsonl"
"""The file's name in an `examples` artifact."""


def line_of(source: str, change: Change) -> str:
    """Give a change of the row from `source` (file:line) as one line of JSON, its end of line included.

    `before` and `after` are whole texts, and left out where they may not be told: of personal data only the place,
    the kinds and their counts are kept.
    """
    form: dict[str, object] = {"source": source, "rule": change.rule, "action": change.action, "where": change.where}
    form |= {name: getattr(change, name) for name in ("before", "after") if getattr(change, name)}
    form["count"] = change.count
    if change.kinds:
        form["kinds"] = dict(change.kinds)
    return json.dumps(form, ensure_ascii=False) + "\n"


def write_record(folder: Path, rows: Iterable[tuple[str, Sequence[Change]]]) -> int:
    """Write the changes of rows (source, changes) into a folder's `cleaned.jsonl`. Gives the number of lines."""
    count = 0
    with (folder / NAME).open("w", encoding="utf-8") as file:
        for source, changes in rows:
            for change in changes:
                file.write(line_of(source, change))
                count += 1
    return count


def read_record(folder: Path) -> Iterator[tuple[str, Change]]:
    """Read a folder's `cleaned.jsonl`: the source of the row, and the change, in the order in which they were made."""
    with (folder / NAME).open(encoding="utf-8") as file:
        for line in file:
            form = json.loads(line)
            kinds = tuple(form.pop("kinds", {}).items())
            form.pop("id", None)  # of a duplicate: its content
            yield form.pop("source"), Change(**form, kinds=kinds)


def counts(changes: Iterable[Change]) -> Counter[str]:
    """Count finds: `html changed`, `email masked`; and rows left out: `languages dropped`."""
    counted: Counter[str] = Counter()
    for change in changes:
        if change.action == "dropped":
            counted[f"{change.rule} dropped"] += 1
        elif change.kinds:
            counted.update({f"{kind} {change.action}": count for kind, count in change.kinds})
        else:
            counted[f"{change.rule} {change.action}"] += change.count
    return counted


def restore(example: Example, changes: Sequence[Change]) -> Example:
    """Give the row as it was before its changes, the last undone first.

    What the record may not hold (personal data) stays masked: prepare with clean.personal=keep to have it back.
    Raises DataError if a text is not what its change left: then these are not this row's changes.
    """
    for change in reversed(changes):
        if change.can_be_undone:
            example = _undone(example, change)
    return example


def _undone(example: Example, change: Change) -> Example:
    is_found = False

    def rewrite(where: str, text: str) -> str:
        nonlocal is_found
        if where != change.where or text != change.after:
            return text
        is_found = True
        return change.before

    new = places.rewritten(example, rewrite, are_empty_offered=not change.after)
    if not is_found:
        raise DataError(
            f"rule {change.rule} did not leave this text: it says {change.after!r:.60}",
            where=f"{example.source}, {change.where}",
            mend="give the changes of this row, all of them and in their order",
        )
    return new
