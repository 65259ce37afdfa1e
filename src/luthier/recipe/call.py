"""Call a stage with its inputs found by role and kind."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from luthier.artifact.order import KINDS
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError
from luthier.event import Tell
from luthier.recipe.openers import open_artifact
from luthier.recipe.stages import Input, Stage
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
    roles = {role: row for role, row in stage.takes.items() if role in use or row.wanted(spec)}
    found: dict[str, Artifact] = {}
    for role in sorted(roles, key=lambda role: (role not in use, -KINDS.index(roles[role].kind))):
        name = use.get(role) or _named_by(role, list(found.values()), made)
        found[role] = _find(role, roles[role], name, made, store, where)
    return {role: found.get(role) for role in stage.takes}


def _named_by(role: str, others: Sequence[Artifact], made: Mapping[str, Artifact]) -> str | None:
    """What is made last names what it was made from: scores say which model's they are."""
    names = [name for other in others if (name := other.order.inputs.get(role))]
    return next((step for step, artifact in made.items() if artifact.id in names), None)


def _find(
    role: str, wanted: Input, name: str | None, made: Mapping[str, Artifact], store: Store, where: str
) -> Artifact:
    if name is not None:
        found = made[name] if name in made else store.find(name)
        if not wanted.fits(found.kind):
            raise KindError(
                f"{role} is {name!r}, of the kind {found.kind!r}, not {wanted.kind!r}",
                where=where,
                mend=f"name a step or an artifact of the kind {wanted.kinds()}{_those(made.values(), wanted)}",
            )
        return found
    fitting = [artifact for artifact in reversed(list(made.values())) if wanted.fits(artifact.kind)]
    # the kind that is meant before what may stand in its place: a base is a model, though an adapter answers too
    meant = [artifact for artifact in fitting if artifact.kind == wanted.kind]
    if fitting:
        return (meant or fitting)[0]
    raise KindError(
        f"no earlier step makes the {wanted.kind!r} that {role!r} must be",
        where=where,
        mend=f"put a step that makes one before it, or write `use: {{{role}: ID}}`",
    )


def _those(made: Iterable[Artifact], wanted: Input) -> str:
    names = [artifact.id for artifact in made if wanted.fits(artifact.kind)]
    return f": {', '.join(names)}" if names else ""
