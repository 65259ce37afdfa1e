"""From an artifact, a folder or a checkpoint to a model that answers: the kind on the card names the opener."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.artifact.released import current
from luthier.artifact.seal import verify_release, verify_released
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel
from luthier.errors import KindError, StoreError
from luthier.event import Tell, hush
from luthier.recipe.engines import Weights, open_weights
from luthier.recipe.knowledge import KNOWLEDGE, open_answer, open_base, open_bases


def open_artifact(
    store: Store,
    artifact: Artifact,
    *,
    name: str = "",
    dtype: str = "auto",
    engine: str = "transformers",
    tell: Tell = hush,
) -> ChatModel:
    """Open an artifact that answers, by an engine of the table or by the one that fits (auto). Raises KindError for one
    that does not, StoreError for a released one altered.
    """
    opener = OPENERS.get(artifact.kind)
    if opener is None:
        raise KindError(
            f"{artifact.id} is of the kind {artifact.kind!r}, which cannot answer",
            where=str(artifact.folder),
            mend=f"give one of the kind {' or '.join(OPENERS)}",
        )
    if artifact.kind != "release":
        verify_released(store, artifact, tell)
    return opener(store, artifact, Wish(name or artifact.id, dtype, engine, tell))


def open_named(
    store: Store, name: str | None = None, *, dtype: str = "auto", engine: str = "transformers", tell: Tell = hush
) -> ChatModel:
    """Open what a person names: an artifact's id, a model folder, a checkpoint or adapter folder; None: the release."""
    name = name_or_release(store, name)
    if name.startswith(KNOWLEDGE):
        return open_bases(store, name, tell)
    folder = Path(name)
    if not folder.is_dir():
        return open_artifact(store, store.find(name), dtype=dtype, engine=engine, tell=tell)
    wish = Wish(folder.name, dtype, engine, tell)
    if (folder / "adapter_config.json").exists():
        base, artifact = _base_of(store, folder)
        return _open(store, Weights(base, artifact, folder), wish)
    return _open(store, Weights(folder), wish)


def name_or_release(store: Store, name: str | None) -> str:
    """Give the name, or the id of the release where there is none. Raises StoreError if nothing is released."""
    found = name or current(store)
    if found is None:
        raise StoreError(
            "nothing is released yet",
            where=str(store.root),
            mend="run a recipe that ends with release, or give --model ID (luthier list shows the ids)",
        )
    return found


def base_of(store: Store, artifact: Artifact) -> Artifact:
    """Give the model below an adapter or a release; a model is its own base."""
    if artifact.kind == "model":
        return artifact
    role = "tuned" if artifact.kind == "release" else "model"
    return base_of(store, store.find(artifact.card.inputs[role]))


@dataclass(frozen=True)
class Wish:
    """How a model is to be opened."""

    name: str
    dtype: str
    engine: str
    tell: Tell


def _open_model(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    return _open(store, Weights(artifact.folder, artifact, trusted=_trusts(artifact)), wish)


def _open_adapter(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    base = base_of(store, artifact)
    return _open(store, Weights(base.folder, base, artifact.folder, _trusts(base)), wish)


def _open_release(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    verify_release(store, artifact)  # what users meet is what was judged
    tuned = store.find(artifact.card.inputs["tuned"])
    return OPENERS[tuned.kind](store, tuned, wish)


def _open_index(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    return open_base(store, [artifact.folder], wish.name, wish.tell)


def _open_answer(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    def open_generator(made: Artifact) -> ChatModel:
        return open_artifact(store, made, dtype=wish.dtype, engine=wish.engine, tell=wish.tell)

    return open_answer(store, artifact, wish.name, wish.tell, open_generator)


def _open_agent(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    from luthier.act.opening import reopen_agent

    def open_model(found: Artifact) -> ChatModel:
        return open_artifact(store, found, dtype=wish.dtype, tell=wish.tell)

    return reopen_agent(artifact, store, wish.tell, open_model, name=wish.name)


def _open_prompt(store: Store, artifact: Artifact, wish: Wish) -> ChatModel:
    from luthier.engine.prompted import PromptedModel, read_prompt

    inner = store.find(artifact.card.inputs["model"])
    return PromptedModel(OPENERS[inner.kind](store, inner, wish), read_prompt(artifact.folder), wish.name)


OPENERS: dict[str, Callable[[Store, Artifact, Wish], ChatModel]] = {
    "model": _open_model,
    "adapter": _open_adapter,
    "quantized": _open_model,
    "release": _open_release,
    "prompt": _open_prompt,
    "index": _open_index,
    "answer": _open_answer,
    "agent": _open_agent,
}


def _open(store: Store, weights: Weights, wish: Wish) -> ChatModel:
    return open_weights(store, weights, engine=wish.engine, name=wish.name, dtype=wish.dtype, tell=wish.tell)


def _trusts(artifact: Artifact) -> bool:
    return bool(artifact.card.spec.get("trust_remote_code", False))


def _base_of(store: Store, folder: Path) -> tuple[Path, Artifact | None]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = str(config.get("base_model_name_or_path", ""))
    if Path(base).is_dir():
        return Path(base), None
    artifact = store.find(base, "model")
    return artifact.folder, artifact
