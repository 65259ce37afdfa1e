"""A candidate: what is asked, how it is called, and what it took to make it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from luthier.artifact.order import KINDS
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel

Way = Literal["base", "prompt", "tuned", "knowledge", "both", "other"]

NOT_MADE = frozenset({"fetch", "prepare"})
"""Stages that would be needed without the candidate too."""


@dataclass(frozen=True)
class Candidate:
    """One of those that are asked."""

    way: Way
    label: str
    """What it is called in words."""
    name: str
    """The artifact's id, or the address."""
    made_seconds: float
    """How long making it took: tuning, indexing, the search for a prompt."""
    open: Callable[[], ChatModel]


def seconds_to_make(store: Store, artifact: Artifact) -> float:
    """Add up what an artifact and all it was made from took to make, raw rows and fetched models aside."""
    made = [artifact]
    for found in made:
        for name in found.order.inputs.values():
            if name.partition("-")[0] in KINDS and name not in [known.id for known in made]:
                made.append(store.find(name))
    return sum(one.card.seconds for one in made if one.order.stage not in NOT_MADE)
