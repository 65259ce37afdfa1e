"""From a spec, or from an agent on disk, to an agent that acts. Nothing heavy is loaded before one is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.act.spec import ActSpec
from luthier.artifact import atomic
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel
from luthier.errors import SpecError
from luthier.event import Tell

if TYPE_CHECKING:
    from luthier.act.agent import Agent
    from luthier.act.loop import Leave

Open = Callable[[Artifact], ChatModel]


def open_agent(
    spec: ActSpec,
    model: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: Open,
    *,
    name: str,
    leave: "Leave | None" = None,
) -> "Agent":
    """Open an agent: its model, and its tools. Raises as `act` does."""
    from luthier.act.agent import Agent, no_leave
    from luthier.act.toolbox import Toolbox

    toolbox = Toolbox(spec, lambda wanted: open_model(store.find(wanted)), tell)
    try:
        below = _remote(spec) if spec.url else open_model(needed(model))
        return Agent(spec, below, toolbox, name=name, leave=leave or no_leave, tell=tell)
    except BaseException:
        toolbox.close()
        raise


def _remote(spec: ActSpec) -> ChatModel:
    from luthier.engine.remote import RemoteModel

    return RemoteModel(spec.url, model=spec.served_model or None)


def needed(model: Artifact | None) -> Artifact:
    """Give the model back, or raise SpecError if there is none."""
    if model is None:
        raise SpecError("there is no model", where="key url", mend="give --model ID, or url=ADDRESS of an OpenAI API")
    return model


def reopen_agent(agent: Artifact, store: Store, tell: Tell, open_model: Open, *, name: str) -> "Agent":
    """Open an agent that was made before. Raises SpecError if what it was made of is no longer there as it was."""
    check_files(agent)
    spec = ActSpec.model_validate(agent.order.spec)
    model = agent.order.inputs.get("model")
    return open_agent(spec, store.find(model) if model else None, store, tell, open_model, name=name)


def check_files(agent: Artifact) -> None:
    """Raise SpecError if a file that describes an agent's tools is no longer what the agent was made with."""
    for role, value in agent.order.inputs.items():
        path = Path(role.removeprefix("file ")).expanduser()
        if not role.startswith("file "):
            continue
        if not path.is_file() or f"sha256:{atomic.sha256(path)}" != value:
            state = "has changed since" if path.is_file() else "is no longer there"
            raise SpecError(
                f"{path} {state}; {agent.id} was made with it",
                where=str(path),
                mend="put it back, or make the agent anew (luthier act)",
            )
