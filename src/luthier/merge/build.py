"""Makes the merged folder and its certificate."""

import gc
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from luthier.artifact.beside import copy_beside, size_bytes
from luthier.artifact.store import Artifact, Store
from luthier.engine.certificate import EXACT, HALF, Bounds, Reference, certify, pass_or_refuse, record
from luthier.engine.origin import Origin, held_out, origin_of
from luthier.engine.subject import open_torch
from luthier.event import Chose, Tell
from luthier.merge.spec import MergeSpec
from luthier.merge.weights import average, merge_one, merge_several
from luthier.model.load import load_causal
from luthier.model.machine import choose_device
from luthier.model.template import Template, open_template

ANY = Bounds(kl=float("inf"), near_agreement=0.0, perplexity_ratio=float("inf"), told=float("inf"))
"""What several made one need hold: it is like none of them, so only its form is certified."""


def build(
    spec: MergeSpec,
    base: Artifact | None,
    parts: Sequence[Artifact],
    store: Store,
    out: Path,
    work: Path,
    tell: Tell,
) -> Mapping[str, Any]:
    """Fill `out`. Gives figures: the certificate, and of QLoRA's two candidates the one not taken."""
    first = parts[0]
    folder = (base or first).folder
    template = open_template(folder)
    narrow = str(first.card.spec.get("quantize", "none")) if base else "none"
    copy_beside(folder, out)
    reference = _reference(origin_of(store, first), template, store, first, work, tell)
    figures: dict[str, Any] = {}
    if len(parts) > 1:
        _save(_several(spec, base, parts), out, spec.dtype)
        found = _measure(out, reference, template, spec, tell)
        bounds = ANY
    elif narrow == "none" or spec.onto != "auto":
        _save(_single(spec, folder, first, narrow if spec.onto == "quantized" else "none"), out, spec.dtype)
        found = _measure(out, reference, template, spec, tell)
        bounds = EXACT if narrow == "none" and spec.dtype == "float32" else HALF
    else:
        found, other, onto = _better(spec, folder, first, narrow, (out, work / "other"), reference, template, tell)
        figures = {"merged_onto": onto, "other_candidate": other}
        bounds = HALF
    found |= {"bytes": size_bytes(out), "reference_bytes": size_bytes(folder)}
    made = pass_or_refuse(
        "merge", found, bounds, refuse=spec.refuse, where=str(first.folder), mend=_mend(spec, narrow), tell=tell
    )
    return {**figures, "dtype": spec.dtype, "certificate": made}


def _mend(spec: MergeSpec, narrow: str) -> str:
    if narrow != "none" and spec.onto == "full":
        return "set onto=quantized: it learned on those weights"
    return "set dtype=float32" if spec.dtype != "float32" else "serve the adapter on its base"


def _reference(origin: Origin, template: Template, store: Store, first: Artifact, work: Path, tell: Tell) -> Reference:
    subject = origin.open()
    try:
        return record(subject, template, held_out(store, first), origin.name, work / "reference", tell)
    finally:
        del subject
        gc.collect()


def _single(spec: MergeSpec, folder: Path, adapter: Artifact, narrow: str) -> Any:
    """Give the merged model, on the base's full weights, or on its narrow ones widened again."""
    model = load_causal(
        folder, dtype="float32", device="cpu", trust_remote_code=spec.trust_remote_code, quantize=narrow
    )
    if narrow != "none":
        model = model.dequantize().float()
    return merge_one(model, adapter.folder)


def _several(spec: MergeSpec, base: Artifact | None, parts: Sequence[Artifact]) -> Any:
    equal = 1.0 if spec.way == "ties" else 1 / len(parts)
    weights = spec.weights or (equal,) * len(parts)

    def load(folder: Path) -> Any:
        return load_causal(folder, dtype="float32", device="cpu", trust_remote_code=spec.trust_remote_code)

    if base is not None:
        torch.manual_seed(spec.seed)
        return merge_several(load(base.folder), [part.folder for part in parts], spec.way, weights, spec.density)
    total = average([lambda folder=part.folder: load(folder).state_dict() for part in parts], weights)  # type: ignore[misc]
    model = load(parts[0].folder)
    model.load_state_dict(total)
    return model


def _better(
    spec: MergeSpec,
    folder: Path,
    adapter: Artifact,
    narrow: str,
    places: tuple[Path, Path],
    reference: Reference,
    template: Template,
    tell: Tell,
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Make both candidates of an adapter that learned on narrow weights, and keep the one nearer to what it was."""
    out, other = places
    other.mkdir(parents=True, exist_ok=True)
    copy_beside(folder, other)
    found = {}
    for onto, place, kind in (("quantized", out, narrow), ("full", other, "none")):
        _save(_single(spec, folder, adapter, kind), place, spec.dtype)
        found[onto] = _measure(place, reference, template, spec, tell)
    best, worse = sorted(found, key=lambda onto: float(found[onto]["kl"]))
    if best == "full":
        shutil.rmtree(out)
        other.rename(out)
    told = "; ".join(f"{onto}: kl {one['kl']:.2g}, perplexity {one['perplexity']:.4g}" for onto, one in found.items())
    tell(Chose("merged onto", best, f"nearer to the adapter as it was trained ({told})"))
    return found[best], found[worse], best


def _measure(folder: Path, reference: Reference, template: Template, spec: MergeSpec, tell: Tell) -> dict[str, Any]:
    gc.collect()
    subject = open_torch(folder, device=choose_device().value, trusted=spec.trust_remote_code)
    return certify(subject, reference, lambda: open_template(folder).hashes() == template.hashes(), tell)


def _save(model: Any, out: Path, dtype: str) -> None:
    model.to(getattr(torch, dtype)).save_pretrained(out, max_shard_size="5GB")
