"""`quantize`: a model in, the same model in fewer bits or in another engine's form out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.event import Tell
from luthier.quantize.kinds import KINDS, Source, check_able
from luthier.quantize.spec import QuantizeSpec

VERSION = 1


def quantize(spec: QuantizeSpec, model: Artifact, store: Store, tell: Tell) -> Artifact:
    """Make the `quantized` form of a model: a folder that the engine of its kind loads.

    It is opened in that engine and held against what the model was made from; the certificate stands in the card.
    Raises ToolError where a package, a tool or a device is missing, ModelError for a model that the engine of the
    kind cannot run, GateError where the certificate does not pass.
    """
    check_kind(model, "model", "model")
    kind = KINDS[spec.kind]
    order = Order("quantized", "quantize", VERSION, spec.model_dump(mode="json"), {"model": model.id})

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        check_able(spec.kind, store.root)
        from luthier.quantize.certify import certify  # torch

        source = Source(model.folder, spec.trust_remote_code, store.root)
        figures = kind.function()(source, out, work, tell)
        found = certify(spec, model, source, out, work, store, tell)
        return {"engine": kind.engine, **figures, "certificate": found, **template_figures(model.card)}

    return store.make(order, build, tell)
