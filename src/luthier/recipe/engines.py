"""A model folder, with or without an adapter, opened by the engine that is wished for or chosen."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from luthier.artifact.card import Card
from luthier.artifact.store import Artifact, Store
from luthier.engine.capability import Facts, choose_engine
from luthier.engine.ports import ChatModel
from luthier.errors import KindError
from luthier.event import Chose, Said, Tell

GRAPH = "openvino_model.xml"


@dataclass(frozen=True)
class Weights:
    """What is to be opened."""

    folder: Path
    base: Artifact | None = None
    """The artifact of the folder, where it is one."""
    adapter: Path | None = None
    trusted: bool = False
    """Whether Python code in the folder may run."""


def open_weights(store: Store, weights: Weights, *, engine: str, name: str, dtype: str, tell: Tell) -> ChatModel:
    """Open a model. Engines that need another form of it have it made first, and say so.

    Raises KindError where that form cannot be made because the folder is no artifact.
    """
    if (weights.folder / GRAPH).exists():
        return _openvino(weights.folder, weights, name, tell)
    if any(weights.folder.glob("*.gguf")) and not any(weights.folder.glob("*.safetensors")):
        engine = "xllamacpp"
        tell(Chose("engine", engine, "the folder holds a GGUF, which llama.cpp runs"))
    elif engine != "transformers":
        engine = _choose(store, weights, engine, dtype, tell)
    if engine == "openvino":
        return _openvino(_graph_of(store, weights, dtype, tell).folder, weights, name, tell)
    if engine in ("vllm", "xllamacpp"):
        from luthier.engine.served import open_served

        return open_served(
            engine, store.root, weights.folder, name=name, adapter=weights.adapter, dtype=dtype, tell=tell
        )
    from luthier.engine.local import open_local  # torch: only when a model is opened

    return open_local(
        weights.folder,
        name=name,
        adapter=weights.adapter,
        dtype=dtype,
        trust_remote_code=weights.trusted,
        tell=tell,
    )


def _choose(store: Store, weights: Weights, wanted: str, dtype: str, tell: Tell) -> str:
    from luthier.model.machine import choose_device

    config: dict[str, Any] | None = None
    if weights.adapter is not None:
        config = json.loads((weights.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    made = weights.base is not None and _made(store, weights.base, _kind(dtype)) is not None
    chosen = choose_engine(wanted, Facts(choose_device().value, made, config))
    tell(Chose("engine", chosen.name, chosen.why))
    return chosen.name


def _kind(dtype: str) -> str:
    from luthier.model.machine import choose_dtype

    form = choose_dtype("cpu").value if dtype == "auto" else dtype
    return "openvino-f32" if form == "float32" else "openvino-bf16"


def _made(store: Store, base: Artifact, kind: str) -> Card | None:
    """The CPU engine's form of a model that was made last, of this kind."""
    cards = [
        card
        for card in store.cards()
        if card.kind == "quantized" and card.spec.get("kind") == kind and base.id in card.inputs.values()
    ]
    return max(cards, key=lambda card: card.made_at, default=None)


def _graph_of(store: Store, weights: Weights, dtype: str, tell: Tell) -> Artifact:
    kind = _kind(dtype)
    if weights.base is None:
        raise KindError(
            "a folder that is no artifact has no form for the CPU engine",
            where=str(weights.folder),
            mend="fetch it (luthier fetch FOLDER), and serve its id; or leave --engine openvino out",
        )
    found = _made(store, weights.base, kind)
    if found is not None:
        return store.find(found.id)
    from luthier.quantize.run import quantize
    from luthier.quantize.spec import QuantizeSpec

    tell(Said(f"the CPU engine's form of {weights.base.id} is not there: luthier quantize kind={kind} runs first"))
    return quantize(QuantizeSpec(kind=kind), weights.base, store, tell)


def _openvino(folder: Path, weights: Weights, name: str, tell: Tell) -> ChatModel:
    from luthier.engine.openvino_open import open_openvino

    return open_openvino(folder, name=name, adapter=weights.adapter, room=_room(), tell=tell)


@cache
def _room() -> Any:
    """The memory that all engines of this process share."""
    from luthier.engine.room import Room

    return Room()
