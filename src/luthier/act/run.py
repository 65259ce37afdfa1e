"""Act: a task and tools become a transcript; tools without a task become an agent, which is asked like a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.act.opening import Open, needed, open_agent
from luthier.act.spec import ActSpec
from luthier.artifact import atomic
from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import SpecError
from luthier.event import Said, Tell
from luthier.model.machine import choose_device, choose_dtype
from luthier.retrieve.state import check_unchanged, living

if TYPE_CHECKING:
    from luthier.act.loop import Leave

VERSION = 2


def act(
    spec: ActSpec,
    model: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: Open,
    leave: "Leave | None" = None,
) -> Artifact:
    """Make the `transcript` of a task: transcript.json, answer.txt; without a task, the `agent` itself: agent.json.

    `leave` asks a person about calls that change something; without it they
    are not made, unless the spec allows them.
    Raises SpecError for tools that cannot be opened, or if there is neither a model nor an address of one.
    """
    kind: Kind = "transcript" if spec.task else "agent"
    inputs = _inputs(spec, model, store)
    names = [inputs[role] for role in inputs if role == "model" or role.startswith("knowledge ")]
    # an agent is as good as what it knows when it is asked
    used = [store.find(name) for name in names if (store.artifacts / name).is_dir()] if spec.task else []
    state = living(store, used)
    order = Order(kind, "act", VERSION, spec.model_dump(mode="json"), inputs, _choices(spec) | state)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.act.transcript import describe, perform

        opened = open_agent(spec, model, store, tell, open_model, name=order.id, leave=leave)
        try:
            figures = perform(opened, spec, out) if spec.task else describe(opened, out)
            check_unchanged(store, used, state)
            return figures
        finally:
            opened.close()

    made = Artifact(order.id, store.artifacts / order.id, order)
    if spec.task and made.exists:
        tell(Said(f"this task was done before; attempt={spec.attempt + 1} does it once more"))
    return store.make(order, build, tell)


def _choices(spec: ActSpec) -> dict[str, str]:
    if spec.url:
        return {}
    device = choose_device().value
    return {"device": device, "dtype": choose_dtype(device).value}


def _inputs(spec: ActSpec, model: Artifact | None, store: Store) -> Mapping[str, str]:
    """Give what it is made from: the models, and the hashes of the files that describe tools."""
    found = {} if spec.url else {"model": needed(model).id}
    found |= {f"knowledge {row.name}": store.find(row.model).id for row in spec.knowledge}
    for path in (*(row.document for row in spec.apis), *(row.file for row in spec.python)):
        file = Path(path).expanduser()
        if not file.is_file():
            raise SpecError(
                f"there is no file {path!r}", where="key apis.document or python.file", mend="give a path that exists"
            )
        found[f"file {path}"] = f"sha256:{atomic.sha256(file)}"
    return found
