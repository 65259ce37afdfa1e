"""What a merge takes of memory and disk, asked for before anything is done. It loads no torch."""

from pathlib import Path

from luthier.artifact.store import Artifact
from luthier.engine.probe import reference_bytes
from luthier.merge.spec import MergeSpec
from luthier.model.machine import check_disk, check_memory
from luthier.model.plan import DTYPE_BYTES, read_shapes

PROCESS_BYTES = 750 * 2**20
"""Python, torch, transformers and peft."""
MERGED_BYTES = 5
"""Of memory for each weight: the model in float32, and a part of it again while it is read or written."""
AVERAGED_BYTES = 16
"""Of memory for each weight where models are averaged: the sum in float64, one model, and the sum in float32."""


def check_room(spec: MergeSpec, base: Path, first: Artifact, project: Path, what: str) -> None:
    """Raise RoomError, with the figures, if this machine has not got what a merge takes. `base` holds the weights."""
    shapes = read_shapes(base)
    is_narrow = str(first.order.spec.get("quantize", "none")) != "none"
    candidates = 2 if first.kind == "adapter" and is_narrow and spec.onto == "auto" and not spec.more else 1
    written = candidates * shapes.parameters * DTYPE_BYTES[spec.dtype]
    check_disk(project, written + reference_bytes(shapes.vocabulary), what)
    each = AVERAGED_BYTES if first.kind == "model" else MERGED_BYTES
    mend = "end other programs, or merge where there is more; the adapter can be served on its base as it is"
    check_memory(PROCESS_BYTES + each * shapes.parameters, what, mend)
