"""The door of `index`: it hashes the documents, and changes the knowledge base only where it does not hold them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import SpecError
from luthier.event import Tell
from luthier.index.spec import IndexSpec
from luthier.retrieve.place import POINTER

VERSION = 1


def index(spec: IndexSpec, store: Store, tell: Tell) -> Artifact:
    """Make an artifact of the kind `index`: which documents, in which state, a knowledge base was brought to hold.

    The knowledge base itself lies in the project's `knowledge` folder and lives on: documents come, change and go.
    Raises SpecError if no source is given, DataError for documents that cannot be read, ToolError for a reader or
    an embedder that is not installed, StoreError for a store that is down.
    """
    from luthier.index.sources import find_files

    if not spec.sources:
        raise SpecError("no source is given", where="key source", mend="luthier index FILES... [name=NAME]")
    files = find_files(spec.sources)
    lines = sorted(f"{file.label}\0{file.sha256}" for file in files)
    inputs = {"documents": f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"}
    order = Order("index", "index", VERSION, spec.model_dump(mode="json"), inputs)
    made = Artifact(order.id, store.artifacts / order.id, order)

    def change() -> Mapping[str, Any]:
        from luthier.index.build import bring_in  # loads a model

        return bring_in(spec, files, store.root, tell)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        state = change()
        atomic.write_json(out / POINTER, state)
        return {key: value for key, value in state.items() if key != "held"}

    if made.exists and not store.dry:
        from luthier.index.build import holds

        if not holds(spec, files, store.root):
            change()
    return store.make(order, build, tell)
