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

    Raises ToolError where a package, a tool or a device is missing, ModelError for a model that the engine of the
    kind cannot run.
    """
    check_kind(model, "model", "model")
    check_able(spec.kind)
    kind = KINDS[spec.kind]
    order = Order("quantized", "quantize", VERSION, spec.model_dump(mode="json"), {"model": model.id})

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        source = Source(model.folder, spec.trust_remote_code, store.root)
        figures = kind.function()(source, out, work, tell)
        return {"engine": kind.engine, **figures, **template_figures(model.card)}

    return store.make(order, build, tell)
