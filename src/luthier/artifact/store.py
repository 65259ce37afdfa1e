"""The project folder: artifacts by id, each made once, each whole or absent.

.luthier/artifacts/ID/card.json + files     whole artifacts
.luthier/work/ID/                           what a run is making, kept when it is killed (checkpoints, answers)
.luthier/work/ID.lock                       held by the process that makes it
.luthier/runs/TIME-WORD/events.jsonl        what each run told
.luthier/track/ID/                          what trackers wrote while it was made
.luthier/released.jsonl                     the log of releases
"""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from luthier.artifact import atomic
from luthier.artifact.card import NAME, Card, card_of, read_card, to_plain
from luthier.artifact.order import KINDS, Order
from luthier.errors import BusyError, KindError, StoreError
from luthier.event import Made, Said, Skipped, Started, Tell

Build = Callable[[Path, Path], Mapping[str, Any]]
"""`build(out, work) -> figures`: fills `out`, may keep what outlives a kill in `work`; figures are plain JSON."""


@dataclass(frozen=True)
class Artifact:
    """A whole folder and its card; in a dry store also one that would be made."""

    id: str
    folder: Path
    order: Order

    @property
    def exists(self) -> bool:
        """Whether it is whole on disk: false only for what a dry store would make."""
        return (self.folder / NAME).exists()

    @property
    def card(self) -> Card:
        """Its card, read anew."""
        return read_card(self.folder)

    @property
    def kind(self) -> str:
        """What it is: model, examples, adapter ..."""
        return self.order.kind


TRACK = "track"
"""The folder of what trackers write, in the project folder."""


class Store:
    """A project folder. `dry` makes nothing: `make` gives what would come, so a plan knows every id beforehand."""

    def __init__(self, root: Path | str = ".luthier", *, dry: bool = False) -> None:
        self.root = Path(root)
        self.dry = dry
        self.artifacts = self.root / "artifacts"
        self.work = self.root / "work"
        self.track = self.root / TRACK

    def make(self, order: Order, build: Build, tell: Tell, *, wait: bool = False, anew: bool = False) -> Artifact:
        """Give the artifact of an order, building it only if it is not there, or `anew`: then one that is there stays
        until the other is whole.

        Raises BusyError if another process is making it, unless told to `wait` for its end, and if something was made
        from what is made anew meanwhile. A build that dies leaves
        its work folder, never an artifact.
        """
        place = self.artifacts / order.id
        made = Artifact(order.id, place, order)
        if made.exists and not anew:
            tell(Skipped(order.stage, order.id, str(place)))
            return made
        if self.dry:
            return made
        with atomic.no_room(self.work / order.id), self._lock(order.id, tell if wait else None):
            if made.exists and not anew:  # another process finished it while we waited for the lock
                tell(Skipped(order.stage, order.id, str(place)))
                return made
            tell(Started(order.stage, order.id))
            try:
                seconds = self._build(order, build, place)
            except BaseException:  # half an artifact helps nobody, and it may be what filled the disk
                shutil.rmtree(self.work / order.id / "out", ignore_errors=True)
                raise
        tell(Made(order.stage, order.id, str(place), seconds))
        return made

    def _build(self, order: Order, build: Build, place: Path) -> float:
        begun = time.monotonic()
        work = self.work / order.id
        out = work / "out"
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        figures = build(out, work)
        files = _seal(out)
        seconds = time.monotonic() - begun
        card = card_of(order, figures, files, datetime.now(UTC).isoformat(timespec="milliseconds"), seconds)
        atomic.write_json(out / NAME, to_plain(card))
        self.artifacts.mkdir(parents=True, exist_ok=True)
        if place.exists():  # made anew, or a folder without a card: not ours to keep
            if (place / NAME).exists():
                self._check_unused(order.id)
            (place / NAME).unlink(missing_ok=True)  # the card goes first: what is left is no artifact
            shutil.rmtree(place)
        os.rename(out, place)
        atomic.sync(self.artifacts)
        shutil.rmtree(work)
        return seconds

    def _check_unused(self, name: str) -> None:
        """Raise BusyError if something was made from an artifact while it was made anew: its inputs would be others."""
        users = self.users(name)
        if users:
            raise BusyError(
                f"{users[0]} was made from {name} while that was made anew: it stays as it was",
                where=str(self.artifacts / name),
                mend=f"remove {users[-1]} first (luthier remove), then run this again",
            )

    @contextmanager
    def _lock(self, name: str, waiter: Tell | None) -> Iterator[None]:
        """Hold the lock; where it is held, wait for it if there is somebody to tell so, else raise BusyError."""
        self.work.mkdir(parents=True, exist_ok=True)
        path = self.work / f"{name}.lock"
        holder = self.work / f"{name}.pid"
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text(encoding="utf-8") if holder.exists() else "?"
            if waiter is None:
                raise BusyError(
                    f"process {who} is making {name} right now",
                    where=str(path),
                    mend=f"wait until it has ended, or stop it (kill {who}), then run the same command again",
                ) from None
            waiter(Said(f"process {who} is making {name} right now: waiting for it"))
            lock.acquire(poll_interval=0.2)
        try:
            holder.write_text(str(os.getpid()), encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def find(self, name: str, kind: str | None = None) -> Artifact:
        """Give the artifact with this id, or the only one whose id (with or without its kind) begins so.

        Raises StoreError if there is none or more than one, KindError if it is of another kind than asked.
        """
        cards = [card for card in self.cards() if name in (card.id, "") or _begins(card.id, name)]
        exact = [card for card in cards if card.id == name]
        cards = exact or cards
        if len(cards) != 1:
            seen = ", ".join(card.id for card in cards[:5]) or "none"
            raise StoreError(
                f"{len(cards)} artifacts are called {name!r} (found: {seen})",
                where=str(self.artifacts),
                mend="give the id as `luthier list` shows it",
            )
        card = cards[0]
        if kind is not None and card.kind != kind:
            raise KindError(
                f"{card.id} is of the kind {card.kind!r}, not {kind!r}",
                where=str(self.artifacts / card.id),
                mend=f"give an id that begins with {kind}- (luthier list --kind {kind})",
            )
        return self._artifact(card)

    def newest(self, kind: str) -> Artifact | None:
        """Give the artifact of a kind that was made last, or None."""
        cards = [card for card in self.cards() if card.kind == kind]
        return self._artifact(max(cards, key=lambda card: card.made_at)) if cards else None

    def cards(self) -> list[Card]:
        """Give the card of every whole artifact, oldest first."""
        folders = self.artifacts.glob(f"*/{NAME}") if self.artifacts.exists() else ()
        return sorted((read_card(path.parent) for path in folders), key=lambda card: (card.made_at, card.id))

    def users(self, name: str) -> list[str]:
        """Give the ids of the artifacts that were made from this one."""
        return [card.id for card in self.cards() if name in card.inputs.values()]

    def remove(self, name: str, released: tuple[str, ...] = ()) -> Artifact:
        """Remove an artifact and what trackers wrote of it.

        Raises StoreError if others were made from it, or if it is released.
        """
        found = self.find(name)
        users = self.users(found.id)
        if users:
            raise StoreError(
                f"{found.id} is needed by {', '.join(users)}",
                where=str(found.folder),
                mend=f"remove {users[-1]} first",
            )
        if found.id in released:
            raise StoreError(
                f"{found.id} is released", where=str(found.folder), mend="luthier release --rollback first"
            )
        (found.folder / NAME).unlink()  # the card goes first: what is left is no artifact
        shutil.rmtree(found.folder)
        if (self.track / found.id).exists():
            shutil.rmtree(self.track / found.id)
        return found

    def verify(self, artifact: Artifact) -> None:
        """Compare every file with the card's checksums. Raises StoreError for the first that differs."""
        for name, facts in artifact.card.files.items():
            path = artifact.folder / name
            if not path.exists() or atomic.sha256(path) != facts["sha256"]:
                state = "differs from its checksum" if path.exists() else "is missing"
                raise StoreError(
                    f"{name} of {artifact.id} {state}",
                    where=str(path),
                    mend=f"luthier remove {artifact.id}, then make it again",
                )

    def _artifact(self, card: Card) -> Artifact:
        order = Order(card.kind, card.stage, card.version, card.spec, card.inputs, card.choices)
        return Artifact(card.id, self.artifacts / card.id, order)


def check_kind(artifact: Artifact, kind: str, role: str) -> Artifact:
    """Give the artifact back, or raise KindError if it is of another kind than the stage takes."""
    if artifact.kind != kind:
        raise KindError(
            f"{artifact.id} is of the kind {artifact.kind!r}, not {kind!r}",
            where=f"input {role!r}",
            mend=f"give an id that begins with {kind}-",
        )
    return artifact


def _begins(found: str, name: str) -> bool:
    bare = found.partition("-")[2]
    return bool(name) and name not in KINDS and (found.startswith(name) or bare.startswith(name))


def _seal(out: Path) -> dict[str, dict[str, Any]]:
    """Force every file to disk and give its size and checksum.

    A file may be read by whoever may read its folder: safetensors writes some that their owner alone may read.
    """
    files = {}
    readers = out.stat().st_mode & 0o444
    for path in sorted(out.rglob("*")):
        if path.is_file():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & readers != readers and not path.is_symlink():
                with suppress(PermissionError):  # a hard link to a file of somebody else
                    path.chmod(mode | readers)
            atomic.sync(path)
            files[path.relative_to(out).as_posix()] = {"bytes": path.stat().st_size, "sha256": atomic.sha256(path)}
        else:
            atomic.sync(path)
    atomic.sync(out)
    return files
