"""The log of releases: one line a decision, only ever added to; and the decisions a person may take."""

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from filelock import FileLock

from luthier.artifact import atomic
from luthier.artifact.card import NAME
from luthier.artifact.order import Order
from luthier.artifact.released import Decision, What, current, history, log_path, standing
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.event import Said, Tell, Warned


def promote(store: Store, name: str, tell: Tell, why: str = "by hand") -> str:
    """Make a release the current one; one that is current already stays so. Gives its id.

    Raises StoreError if there is no such artifact, KindError if it is no release.
    """
    release = store.find(name, "release")
    with _writing(store):
        if current(store, tell) == release.id:
            tell(Said(f"{release.id} is current already"))
            return release.id
        figures = release.card.figures
        _append(store, "promote", release.id, _tuned(release), why, figures)
    tell(Said(f"{release.id} is current now ({why}); luthier serve serves it"))
    return release.id


def rollback(store: Store, tell: Tell, why: str = "by hand") -> str | None:
    """Go back to the release before the current one. Gives its id, or None if no earlier one is left.

    Raises StoreError if nothing is released.
    """
    with _writing(store):
        stack = standing(history(store, tell))
        if not stack:
            raise StoreError(
                "nothing is released: there is nothing to go back from",
                where=str(log_path(store)),
                mend="release something first (luthier release), or promote a release by its id",
            )
        left = stack.pop()
        # an earlier one may have been removed since, or be the same promoted twice: neither is a way back
        while stack and (stack[-1] == left or not (store.artifacts / stack[-1] / NAME).exists()):
            stack.pop()
        following = store.find(stack[-1], "release") if stack else None
        tuned = _tuned(following) if following else ""
        _append(store, "rollback", following.id if following else "", tuned, f"{why}, from {left}", {})
    if following is None:
        tell(Warned(f"{left} was the only release: nothing is released now", f"luthier release --promote {left}"))
        return None
    tell(Said(f"{following.id} is current again, {left} is not; luthier serve serves it"))
    return following.id


def promote_made(store: Store, release: Artifact, is_new: bool, tell: Tell) -> None:
    """Promote a release that a recipe has made; one that was made earlier and rolled back since is left as it is."""
    # a kill between making and promoting leaves a release that no line names: then it is as good as new
    is_named = any(line.what == "promote" and line.release == release.id for line in history(store, tell))
    if is_new or not is_named:
        promote(store, release.id, tell, "the gate passed")
    elif current(store) != release.id:
        tell(
            Warned(
                f"{release.id} passed its gate but is not current: {current(store) or 'nothing'} is",
                f"luthier release --promote {release.id}",
            )
        )


def refuse(store: Store, order: Order, why: str, figures: Mapping[str, Any]) -> None:
    """Write down that the gate refused what an order asks for."""
    with _writing(store):
        _append(store, "refuse", order.id, order.inputs["tuned"], why, figures)


def _append(store: Store, what: What, release: str, tuned: str, why: str, figures: Mapping[str, Any]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    decision = Decision(now, _who(), what, release, tuned, why, figures)
    path = log_path(store)
    _drop_torn_tail(store)
    atomic.append_line(path, json.dumps(asdict(decision), ensure_ascii=False, sort_keys=True))
    atomic.sync(path.parent)


def _drop_torn_tail(store: Store) -> None:
    """Cut off what a kill left of a line: it never counted, and the next line must not be glued to it."""
    path = log_path(store)
    if not path.exists():
        return
    with path.open("r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)
            os.fsync(file.fileno())


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


def _tuned(release: Artifact) -> str:
    return release.order.inputs["tuned"]
