"""Which release is current: the log of releases, replayed. The release stage writes it; everybody may read it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from luthier.artifact.store import Store
from luthier.errors import StoreError
from luthier.event import Tell, Warned, hush

What = Literal["promote", "rollback", "refuse"]


@dataclass(frozen=True)
class Decision:
    """One line of the log."""

    when: str
    """UTC, ISO 8601."""
    who: str
    """user@host."""
    what: What
    release: str
    """The release promoted, gone back to ('' if none is left), or refused."""
    tuned: str
    """The tuned model in it, '' if there is none."""
    why: str
    figures: Mapping[str, Any]
    """What was known when it was decided, as plain JSON."""


def log_path(store: Store) -> Path:
    """Give the place of the log."""
    return store.root / "released.jsonl"


def history(store: Store, tell: Tell = hush) -> list[Decision]:
    """Give every decision, oldest first.

    A last line without its newline was cut off by a kill before it counted: it is left out, and told.
    Raises StoreError for any other line that cannot be read.
    """
    path = log_path(store)
    if not path.exists():
        return []
    *lines, torn = path.read_bytes().split(b"\n")
    if torn:
        tell(
            Warned(
                f"the last line of {path} was cut off while it was written; it does not count",
                "see which release is current; if that is not what you meant, promote or roll back again",
            )
        )
    return [_decision(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def current(store: Store, tell: Tell = hush) -> str | None:
    """Give the id of the release that is current, or None."""
    stack = standing(history(store, tell))
    return stack[-1] if stack else None


def standing(decisions: Sequence[Decision]) -> list[str]:
    """Give the releases that stand, the current one last: what was promoted and not rolled back."""
    stack: list[str] = []
    for decision in decisions:
        if decision.what == "promote":
            stack.append(decision.release)
        elif decision.what == "rollback":
            while stack and stack[-1] != decision.release:
                stack.pop()
    return stack


def _decision(line: bytes, where: str) -> Decision:
    try:
        decision = Decision(**json.loads(line))
    except (ValueError, TypeError) as error:
        problem = str(error)
    else:
        if decision.what in get_args(What):
            return decision
        problem = f"nobody knows the decision {decision.what!r}"
    raise StoreError(
        f"a line of the release log cannot be read: {problem}",
        where=where,
        mend="put the line back as it was, or remove it if nobody needs to know it",
    )
