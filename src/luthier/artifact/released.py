"""Which release is current: the log of releases, replayed. The release stage writes it; everybody may read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from luthier.artifact.chain import MEND, read_chain
from luthier.artifact.store import Store
from luthier.errors import StoreError
from luthier.event import Tell, hush

Channel = Literal["stable", "canary"]
"""`stable` is what everybody gets; `canary` what a share of the requests is tried on."""
CHANNELS: tuple[Channel, ...] = get_args(Channel)
What = Literal["promote", "rollback", "refuse"]


@dataclass(frozen=True)
class Decision:
    """One line of the log."""

    when: str
    """UTC, ISO 8601."""
    who: str
    """user@host."""
    what: What
    channel: Channel
    release: str
    """The release promoted, gone back to ('' if none is left), or refused."""
    tuned: str
    """The model in it, '' if there is none."""
    why: str
    figures: Mapping[str, Any]
    """What was known when it was decided, as plain JSON."""
    seals: Mapping[str, str] = field(default_factory=dict)
    """Artifact -> SHA-256 of its card, for the release promoted and everything it answers with."""
    previous: str = ""
    """The hash of the line before."""
    hash: str = ""


def log_path(store: Store) -> Path:
    """Give the place of the log."""
    return store.root / "released.jsonl"


def history(store: Store, tell: Tell = hush) -> list[Decision]:
    """Give every decision, oldest first. Raises StoreError if the log was altered (see `read_chain`)."""
    lines = read_chain(log_path(store), tell)
    return [_decision(fields, f"{log_path(store)}:{number}") for number, fields in enumerate(lines, start=1)]


def current(store: Store, channel: Channel = "stable", tell: Tell = hush) -> str | None:
    """Give the id of the release that is current in a channel, or None."""
    stack = standing(history(store, tell), channel)
    return stack[-1] if stack else None


def standing(decisions: Sequence[Decision], channel: Channel = "stable") -> list[str]:
    """Give the releases that stand in a channel, the current one last: what was promoted and not rolled back."""
    stack: list[str] = []
    for decision in decisions:
        if decision.channel != channel:
            continue
        if decision.what == "promote":
            stack.append(decision.release)
        elif decision.what == "rollback":
            while stack and stack[-1] != decision.release:
                stack.pop()
    return stack


def kept(store: Store) -> tuple[str, ...]:
    """Give the releases that must not be removed: those in service, and those a rollback may come back to."""
    decisions = history(store)
    return tuple(name for channel in CHANNELS for name in standing(decisions, channel))


def _decision(fields: Mapping[str, Any], where: str) -> Decision:
    try:
        decision = Decision(**fields)
    except TypeError as error:
        problem = str(error)
    else:
        if decision.what in get_args(What) and decision.channel in CHANNELS:
            return decision
        problem = f"nobody knows the decision {decision.what!r} in the channel {decision.channel!r}"
    raise StoreError(f"a line of the log cannot be read: {problem}", where=where, mend=MEND)
