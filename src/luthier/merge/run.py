"""`merge`: an adapter on its base becomes one model; or several adapters or models do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError
from luthier.event import Tell
from luthier.merge.spec import MergeSpec

VERSION = 2
HANDED_ON = ("architecture", "end_of_turn", "licence", "parameters", "vocabulary")
"""Figures of the base's card that hold for what is made from it."""


def merge(spec: MergeSpec, tuned: Artifact, store: Store, tell: Tell) -> Artifact:
    """Make a `model` of an adapter and its base, of several adapters of one base, or of several models.

    What is made of one adapter is held against that adapter on its base; the certificate stands in the card.
    Raises KindError for things that cannot be merged with each other, RoomError where memory or disk is too small,
    StoreError for a part altered on disk, ModelError for an adapter that cannot become
    part of weights, GateError where the certificate does not pass.
    """
    parts = [tuned, *(store.find(name) for name in spec.more)]
    base = _base(parts, store)
    _check_asked(spec, parts)
    inputs = {"model": base.id} if base else {}
    inputs |= {"tuned" if place == 1 else f"tuned{place}": part.id for place, part in enumerate(parts, 1)}
    order = Order("model", "merge", VERSION, spec.model_dump(mode="json"), inputs)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.merge.room import check_room

        check_room(spec, (base or tuned).folder, tuned, store.root, "the merge")
        for part in [*([base] if base else []), *parts]:
            store.verify(part)  # else what was altered would be its own reference
        from luthier.merge.build import build as make  # torch and peft

        found = make(spec, base, parts, store, out, work, tell)
        above = (base or tuned).card
        handed = {name: above.figures[name] for name in HANDED_ON if name in above.figures}
        return {**handed, **found, **template_figures(above)}

    return store.make(order, build, tell)


def _base(parts: Sequence[Artifact], store: Store) -> Artifact | None:
    """Give the one base of adapters, or None for models."""
    kinds = {part.kind for part in parts}
    if kinds == {"model"}:
        return None
    odd = next((part for part in parts if part.kind != "adapter"), None)
    if odd is not None:
        raise KindError(
            f"{odd.id} is of the kind {odd.kind!r}: adapters are merged with adapters, models with models",
            where="input 'tuned', key more",
            mend="give only ids that begin with adapter-, or only ids that begin with model-",
        )
    bases = {part.id: part.order.inputs["model"] for part in parts}
    other = next((name for name, base in bases.items() if base != bases[parts[0].id]), None)
    if other is not None:
        raise KindError(
            f"{other} was trained on {bases[other]}, {parts[0].id} on {bases[parts[0].id]}",
            where="key more",
            mend="merge each into its own base, then average the models with `luthier merge --tuned MODEL more=[...]`",
        )
    return store.find(bases[parts[0].id])


def _check_asked(spec: MergeSpec, parts: Sequence[Artifact]) -> None:
    if parts[0].kind == "model" and len(parts) == 1:
        raise SpecError(
            f"{parts[0].id} is a model already: there is nothing to merge",
            where="input 'tuned'",
            mend="give an adapter, or further models with more=[ID, ...] to average them",
        )
    if parts[0].kind == "model" and spec.way != "linear":
        raise SpecError(
            f"way is {spec.way!r}, which merges the changes of adapters; these are models",
            where="key way",
            mend="leave way out: models are averaged",
        )
    twice = next((part.id for place, part in enumerate(parts) if part.id in [one.id for one in parts[:place]]), None)
    if twice is not None:
        raise SpecError(
            f"{twice} is named twice",
            where="input 'tuned', key more",
            mend="name each once; weights=[...] says how much each counts",
        )
    if len(parts) > 1 and spec.onto != "auto":
        raise SpecError(
            f"onto is {spec.onto!r}, which is chosen for one adapter; these are {len(parts)}",
            where="key onto",
            mend="leave onto out: the changes of several are added to the full weights",
        )
    narrow = str(parts[0].order.spec.get("quantize", "none")) if parts[0].kind == "adapter" else "none"
    if narrow == "none" and spec.onto == "quantized":
        raise SpecError(
            f"onto is 'quantized', but {parts[0].id} learned on full weights",
            where="key onto",
            mend="leave onto out",
        )
