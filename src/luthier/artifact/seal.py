"""Whether a release is still what was released: its parts, their cards, their files.

The line that promoted it holds the hash of each part's card, and each card the hash of each of its files; the log is
hash-chained. So an altered file is found even where its card was altered with it.
"""

from collections.abc import Mapping

from luthier.artifact import atomic
from luthier.artifact.card import NAME
from luthier.artifact.order import KINDS
from luthier.artifact.released import CHANNELS, history, standing
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.event import Tell, Warned, hush

NOT_ASKED = frozenset({"rows", "examples", "scores", "traffic"})
"""What a release was made from, but does not answer with."""
WHOLE = frozenset({"model", "quantized"})
"""What holds all it answers with: what it was made from is not looked at."""
MEND = "put it back as it was from a copy, or go back to the release before (luthier release --rollback)"


def parts_of(store: Store, artifact: Artifact) -> list[Artifact]:
    """Give an artifact and all that it answers with: of a release the model in it, and that one's base or index."""
    found: list[Artifact] = [artifact]
    for part in found:
        for name in part.order.inputs.values() if part.kind not in WHOLE else ():
            kind = name.partition("-")[0]
            if kind in KINDS and kind not in NOT_ASKED and name not in [known.id for known in found]:
                found.append(store.find(name))
    return found


def verify_whole(store: Store, artifact: Artifact) -> None:
    """Raise StoreError for the first file of an artifact, or of what it answers with, that was altered."""
    for part in parts_of(store, artifact):
        store.verify(part)


def verify_released(store: Store, artifact: Artifact, tell: Tell = hush) -> None:
    """Raise StoreError if an artifact answers with a part of a release that stands, and that is not as released.

    The log alone says what a release answers with: one that is gone stands in nobody's way. A log that cannot be read
    is warned of: it keeps releases from being served, not everything else from being opened.
    """
    try:
        decisions = history(store)
    except StoreError as error:
        tell(Warned(f"{error.what}: nobody knows whether {artifact.id} is as it was released", error.mend))
        return
    standing_now = {name for channel in CHANNELS for name in standing(decisions, channel)}
    seals = {line.release: line.seals for line in decisions if line.what == "promote" and line.release in standing_now}
    for part in parts_of(store, artifact) if seals else ():
        found = ""
        for release, sealed in seals.items():
            if part.id in sealed:
                found = found or _digest(store, part, release)
                _compare(store, part.id, found, sealed, release)


def seal(store: Store, release: Artifact) -> dict[str, str]:
    """Check every file of a release's parts against its card, and give each card's SHA-256.

    Raises StoreError for the first that differs.
    """
    return {part.id: _digest(store, part, release.id) for part in parts_of(store, release)}


def verify_release(store: Store, release: Artifact) -> None:
    """Raise StoreError if a part of a release is not what it was when the release was last promoted."""
    promoted = [line for line in history(store) if line.what == "promote" and line.release == release.id]
    for name, digest in seal(store, release).items():
        if promoted:
            _compare(store, name, digest, promoted[-1].seals, release.id)


def _digest(store: Store, part: Artifact, release: str) -> str:
    """Check a part's files against its card, and give the card's SHA-256."""
    try:
        store.verify(part)
    except StoreError as error:
        raise StoreError(f"{error.what}, and {release} answers with it", where=error.where, mend=MEND) from None
    return atomic.sha256(part.folder / NAME)


def _compare(store: Store, name: str, digest: str, sealed: Mapping[str, str], release: str) -> None:
    if sealed.get(name) != digest:
        raise StoreError(
            f"the card of {name} is not the one that was released with {release}",
            where=str(store.artifacts / name / NAME),
            mend=MEND,
        )
