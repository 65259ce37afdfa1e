"""The log of releases: one line a decision, only ever added to; and the decisions a person may take."""

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from filelock import FileLock

from luthier.artifact.card import NAME
from luthier.artifact.chain import append_chain
from luthier.artifact.released import Channel, Decision, What, current, history, log_path, standing
from luthier.artifact.seal import seal
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.event import Said, Tell, Warned

BY_HAND = "by hand"


def promote(
    store: Store,
    name: str,
    tell: Tell,
    why: str = BY_HAND,
    *,
    channel: Channel = "stable",
    figures: Mapping[str, Any] | None = None,
) -> str:
    """Make a release the current one of a channel; one that is current already stays so. Gives its id.

    Raises StoreError if there is no such artifact or a part of it was altered, KindError if it is no release.
    """
    release = store.find(name, "release")
    with _writing(store):
        if current(store, channel, tell) == release.id:
            tell(Said(f"{release.id} is current{_of(channel)} already"))
            return release.id
        known = release.card.figures if figures is None else figures
        _append(store, "promote", channel, release.id, _tuned(release), why, known, seal(store, release))
    tell(Said(f"{release.id} is current{_of(channel)} now ({why}); luthier serve serves it"))
    return release.id


def rollback(
    store: Store,
    tell: Tell,
    why: str = BY_HAND,
    *,
    channel: Channel = "stable",
    figures: Mapping[str, Any] | None = None,
) -> str | None:
    """Go back to the release before the current one. Gives its id, or None if no earlier one is left.

    A canary has none before it: going back ends the trial, and everybody gets the stable release.
    Raises StoreError if nothing is released in the channel.
    """
    with _writing(store):
        stack = standing(history(store, tell), channel)
        if not stack:
            raise StoreError(
                f"nothing is released{_of(channel)}: there is nothing to go back from",
                where=str(log_path(store)),
                mend="release something first (luthier release), or promote a release by its id",
            )
        left = stack.pop()
        if channel == "canary":
            stack.clear()
        # an earlier one may have been removed since, or be the same promoted twice: neither is a way back
        while stack and (stack[-1] == left or not (store.artifacts / stack[-1] / NAME).exists()):
            stack.pop()
        following = store.find(stack[-1], "release") if stack else None
        _append(
            store,
            "rollback",
            channel,
            following.id if following else "",
            _tuned(following) if following else "",
            f"{why}, from {left}",
            figures or {},
        )
    if following is not None:
        tell(Said(f"{following.id} is current again, {left} is not; luthier serve serves it"))
        return following.id
    if channel == "canary":
        tell(Said(f"{left} is no canary any more: everybody gets the stable release"))
    else:
        tell(Warned(f"{left} was the only release: nothing is released now", f"luthier release --promote {left}"))
    return None


def was_promoted(store: Store, release: str, channel: Channel) -> bool:
    """Whether a line of the log promotes a release in a channel."""
    return any(
        line.what == "promote" and line.release == release and line.channel == channel for line in history(store)
    )


def refuse(store: Store, channel: Channel, release: str, tuned: str, why: str, figures: Mapping[str, Any]) -> None:
    """Write down that the gate refused a release."""
    with _writing(store):
        _append(store, "refuse", channel, release, tuned, why, figures)


def _append(
    store: Store,
    what: What,
    channel: Channel,
    release: str,
    tuned: str,
    why: str,
    figures: Mapping[str, Any],
    seals: Mapping[str, str] | None = None,
) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = asdict(Decision(now, _who(), what, channel, release, tuned, why, figures, seals or {}))
    append_chain(log_path(store), {key: value for key, value in line.items() if key not in ("previous", "hash")})


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """Let one process at a time look at the log and add to it."""
    store.root.mkdir(parents=True, exist_ok=True)
    with FileLock(store.root / "released.lock"):
        yield


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _of(channel: Channel) -> str:
    return "" if channel == "stable" else f" as {channel}"


def _tuned(release: Artifact) -> str:
    return release.order.inputs["tuned"]
