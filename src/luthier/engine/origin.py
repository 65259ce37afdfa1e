"""Where a model comes from: what it must be held against, and rows that nothing of it has learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens, has_tokens, read_tokens
from luthier.engine.probe import HELD_OUT_ROWS
from luthier.engine.subject import TorchSubject, open_torch
from luthier.model.machine import choose_device


@dataclass(frozen=True)
class Origin:
    """What a model was made from: a model folder, and the adapter on it if there is one."""

    name: str
    folder: Path
    adapter: Path | None
    trusted: bool
    quantize: str = "none"
    """In how many bits the adapter saw the folder's weights while it learned."""

    def open(self) -> TorchSubject:
        """Open it in float32 (the adapter apart from the weights), on the device there is."""
        return open_torch(
            self.folder,
            adapter=self.adapter,
            device=choose_device().value,
            trusted=self.trusted,
            quantize=self.quantize,
        )


def origin_of(store: Store, artifact: Artifact) -> Origin:
    """Give the adapter on its base that a merged model was made from, as it was trained; else the model itself."""
    trusted = bool(artifact.card.spec.get("trust_remote_code", False))
    if artifact.kind == "adapter":
        base = store.find(artifact.card.inputs["model"])
        narrow = str(artifact.card.spec.get("quantize", "none"))
        trusted = bool(base.card.spec.get("trust_remote_code", False))
        return Origin(f"{artifact.id} on {base.id}", base.folder, artifact.folder, trusted, narrow)
    if artifact.card.stage == "merge" and "tuned2" not in artifact.card.inputs:
        return origin_of(store, store.find(artifact.card.inputs["tuned"]))
    return Origin(artifact.id, artifact.folder, None, trusted)


def held_out(store: Store, artifact: Artifact) -> list[Tokens]:
    """Give a few held-out rows of the examples a model was tuned on; none where it was not, or where they hold none."""
    for split in ("test", "dev"):
        rows = list(_rows(store, artifact, split)[:HELD_OUT_ROWS])
        if any(row.supervised for row in rows):
            return rows
    return []


def learned(store: Store, artifact: Artifact, count: int) -> list[list[int]]:
    """Give the token ids of so many rows that a model was tuned on; none where it was not."""
    return [row.ids.tolist() for row in _rows(store, artifact, "train")[:count]]


def _rows(store: Store, artifact: Artifact, split: str) -> Sequence[Tokens]:
    inputs = artifact.card.inputs
    if artifact.kind == "model" and artifact.card.stage == "merge":
        return _rows(store, store.find(inputs["tuned"]), split)
    if "data" not in inputs:
        return []
    folder = store.find(inputs["data"]).folder
    return read_tokens(folder, split) if has_tokens(folder, split) else []
