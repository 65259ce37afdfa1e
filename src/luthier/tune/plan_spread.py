"""How several devices share a run: each a whole copy, or each a part of the weights and the optimizer's state."""

from dataclasses import dataclass, replace

from luthier.model.plan import DTYPE_BYTES
from luthier.model.shapes import Shapes
from luthier.tune.plan_place import Place
from luthier.tune.plan_terms import Memory
from luthier.tune.spec import TuneSpec

SHARDED = ("weights", "adapter", "masters", "gradients", "optimizer")
"""What FSDP deals out over devices (Zhao et al. 2023, arXiv:2304.11277)."""
LAYERS_GATHERED = 2
"""Layers whose weights are whole on each device at a time: the one computed and the next."""


@dataclass(frozen=True)
class Spread:
    """What each device holds."""

    kind: str
    """one, copies or shards."""
    memory: Memory
    why: str


def spread(spec: TuneSpec, whole: Memory, shapes: Shapes, place: Place) -> Spread:
    """Choose copies (DDP) where they fit, for they talk least; else shards (FSDP)."""
    if place.devices == 1:
        return Spread("one", whole, "one device")
    if place.usable_bytes is None or whole.peak_bytes <= place.usable_bytes:
        return Spread("copies", whole, "a whole copy fits on each device (DDP)")
    terms = {name: size // place.devices if name in SHARDED else size for name, size in whole.terms.items()}
    layer = sum(layer.size for layer in shapes.linear) // max(1, shapes.layers)
    terms["activations"] = max(terms["activations"], whole.kept_bytes)
    terms["gathered"] = LAYERS_GATHERED * layer * DTYPE_BYTES["bfloat16"]
    still = sum(size for name, size in terms.items() if name not in ("activations", "head"))
    sharded = replace(whole, terms=terms, loading_bytes=still, stepping_bytes=still)
    return Spread("shards", sharded, "a whole copy does not fit: weights and states are dealt out (FSDP)")
