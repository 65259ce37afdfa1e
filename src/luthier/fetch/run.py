"""fetch: one spec, one artifact: a model in plain transformers form, or raw rows."""

from pathlib import Path
from typing import Any

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.event import Tell
from luthier.fetch import chat_template, sources
from luthier.fetch.digests import Digests
from luthier.fetch.spec import MANNER, FetchSpec

VERSION = 1


def fetch(spec: FetchSpec, store: Store, tell: Tell) -> Artifact:
    """Bring what the spec names into the store; what is there already is not fetched again, and what another process
    is fetching is waited for.

    Gives an artifact of the kind `model` or `rows`.
    Raises SpecError for a setting that has no effect on the source; FetchError, ModelError or ToolError if the source
    is not there, not whole, or not to be trusted; RoomError if the disk is full.
    """
    source, rest = sources.resolve(spec.source)
    sources.check_heeded(spec, source)
    digests = Digests(store.work / "digests.json", is_read_only=store.dry)
    found = source.look(spec, rest, digests.sha256)
    digests.save()
    is_model = found.kind == "model"
    inputs = {**found.inputs, **(chat_template.inputs(spec.template) if is_model else {})}

    def build(out: Path, work: Path) -> dict[str, Any]:
        figures = found.bring(out, work, tell)
        if is_model:
            from luthier.fetch import convert, finish  # transformers: only when something is really fetched

            if spec.convert:
                figures |= convert.convert(out, tell, origin=figures.get("folder") or figures.get("hub"))
            figures |= finish.finish(out, spec.template, spec.trust_remote_code, tell, figures.get("licence"))
        return figures

    wanted = spec.model_dump(mode="json", exclude=set(MANNER))
    order = Order(found.kind, "fetch", VERSION, wanted, inputs, found.choices)
    return store.make(order, build, tell, wait=True)
