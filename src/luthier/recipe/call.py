"""Call a stage with its inputs found by role and kind."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError
from luthier.event import Tell
from luthier.recipe.openers import open_artifact
from luthier.recipe.stages import Stage
from luthier.spec import Spec


def call_stage(
    stage: Stage, spec: Spec, inputs: Mapping[str, Artifact | None], store: Store, tell: Tell, **more: Any
) -> Artifact:
    """Run a stage. `inputs` has an entry for each of its roles."""
    if stage.opens:
        more["open_model"] = partial(open_artifact, store)
    made: Artifact = stage.function()(spec, *inputs.values(), store, tell, **more)
    return made


def wire(
    stage: Stage, spec: Spec, use: Mapping[str, str], made: Mapping[str, Artifact], store: Store, where: str
) -> dict[str, Artifact | None]:
    """Find each role's artifact: as `use` says, else what the nearest earlier step made of the kind.

    Raises KindError if nothing of the kind was made, or if what `use` names is of another kind.
    """
    return {
        role: _find(role, wanted.kind, use.get(role), made, store, where)
        if role in use or wanted.wanted(spec)
        else None
        for role, wanted in stage.takes.items()
    }


def _find(role: str, kind: str, name: str | None, made: Mapping[str, Artifact], store: Store, where: str) -> Artifact:
    if name is not None:
        found = made[name] if name in made else store.find(name)
        if found.kind != kind:
            raise KindError(
                f"{role} is {name!r}, of the kind {found.kind!r}, not {kind!r}",
                where=where,
                mend=f"name a step or an artifact of the kind {kind}{_those(made.values(), kind)}",
            )
        return found
    for artifact in reversed(list(made.values())):
        if artifact.kind == kind:
            return artifact
    raise KindError(
        f"no earlier step makes the {kind!r} that {role!r} must be",
        where=where,
        mend=f"put a step that makes one before it, or write `use: {{{role}: ID}}`",
    )


def _those(made: Sequence[Artifact] | Any, kind: str) -> str:
    names = [artifact.id for artifact in made if artifact.kind == kind]
    return f": {', '.join(names)}" if names else ""
