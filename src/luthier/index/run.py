"""The door of `index`: it hashes the documents, and changes the knowledge base only where it does not hold them."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel
from luthier.errors import SpecError
from luthier.event import Tell
from luthier.index.spec import IndexSpec
from luthier.index.summarist import Summarist
from luthier.retrieve.place import POINTER

VERSION = 6
OpenModel = Callable[[Artifact], ChatModel]


def index(
    spec: IndexSpec,
    generator: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: OpenModel | None = None,
    processes: int | None = None,
) -> Artifact:
    """Make an artifact of the kind `index`: which documents, in which state, a knowledge base was brought to hold.

    The knowledge base itself lies in the project's `knowledge` folder and lives on: documents come, change and go.
    Without an embedder documents are read and cut in `processes` (None: one for each core), with the same outcome.
    Raises SpecError if no source is given, DataError for documents that cannot be read, ToolError for a reader or
    an embedder that is not installed, StoreError for a store that is down.
    """
    from luthier.index.sources import find_files

    if not spec.sources:
        raise SpecError("no source is given", where="key source", mend="luthier index FILES... [name=NAME]")
    files = find_files(spec.sources)
    lines = sorted(f"{file.label}\0{file.sha256}" for file in files)
    inputs = {"documents": f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"}
    summarist = _summarist(spec, generator, open_model)
    if generator is not None:
        inputs["generator"] = generator.id
    order = Order("index", "index", VERSION, spec.model_dump(mode="json"), inputs)
    made = Artifact(order.id, store.artifacts / order.id, order)

    def change() -> Mapping[str, Any]:
        from luthier.index.build import bring_in  # loads a model

        return bring_in(spec, files, store.root, tell, summarist, processes)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        state = change()
        atomic.write_json(out / POINTER, state)
        return {key: value for key, value in state.items() if key != "held"}

    if made.exists and not store.dry:
        from luthier.index.build import holds

        if not holds(spec, files, store.root, summarist.name):
            change()
    return store.make(order, build, tell)


def _summarist(spec: IndexSpec, generator: Artifact | None, open_model: OpenModel | None) -> Summarist:
    """Say who writes summaries. Raises SpecError for two generators, and for one that cannot be opened."""
    if generator is not None:
        if spec.generator not in ("none", "local"):
            raise SpecError(
                f"generator is {spec.generator!r}, and {generator.id} is given too",
                where="key generator",
                mend="leave one of them out",
            )
        if open_model is None:
            raise AssertionError("who gives a generator says how it is opened")
        return Summarist(generator.id, partial(open_model, generator))
    if spec.generator == "none":
        return Summarist()
    from luthier.engine.remote import is_address, open_address

    if not is_address(spec.generator):
        raise SpecError(
            f"generator is {spec.generator!r}",
            where="key generator",
            mend="write none, local (with --generator ID), or http://host/v1#model",
        )
    return Summarist(spec.generator, partial(open_address, spec.generator))
