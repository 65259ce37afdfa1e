"""`quantize`: a model in, the same model in fewer bits or in another engine's form out."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import KindError
from luthier.event import Tell
from luthier.quantize.kinds import KINDS, Source, check_able
from luthier.quantize.spec import QuantizeSpec

VERSION = 2


def quantize(spec: QuantizeSpec, model: Artifact, store: Store, tell: Tell) -> Artifact:
    """Make the `quantized` form of a model: a folder that the engine of its kind loads.

    It is opened in that engine and held against what the model was made from; the certificate stands in the card.
    Raises KindError for what is narrow already, ToolError where a package, a tool or a device is missing, StoreError
    for a model altered on disk, ModelError for one that the engine of the kind cannot run, GateError where the
    certificate does not pass.
    """
    check_kind(model, "model", "model")
    _check_wide(model)
    kind = KINDS[spec.kind]
    order = Order("quantized", "quantize", VERSION, spec.model_dump(mode="json"), {"model": model.id})

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        check_able(spec.kind, store.root)
        store.verify(model)  # else what was altered would be its own reference
        from luthier.engine.origin import learned
        from luthier.quantize.certify import certify  # torch

        source = Source(model.folder, spec.trust_remote_code, store.root, partial(learned, store, model))
        figures = kind.function()(source, out, work, tell)
        found = certify(spec, model, source, out, work, store, tell)
        return {"engine": kind.engine, **figures, "certificate": found, **template_figures(model.card)}

    return store.make(order, build, tell)


def _check_wide(model: Artifact) -> None:
    path = model.folder / "config.json"
    own = json.loads(path.read_text(encoding="utf-8")).get("quantization_config") if path.exists() else None
    if own is not None:
        raise KindError(
            f"the weights of {model.id} are quantised already ({own.get('quant_method', 'unknown')})",
            where=str(path),
            mend="give the model that it was made from: what is narrow loses again when it is made narrow once more",
        )
