"""The candidates in the order in which they are asked, the base first."""

from collections.abc import Callable, Mapping
from functools import partial

from luthier.artifact.seal import verify_whole
from luthier.artifact.store import Artifact, Store
from luthier.compare.candidate import Candidate, Way, seconds_to_make
from luthier.compare.spec import CompareSpec
from luthier.engine.ports import ChatModel

WAYS: Mapping[str, tuple[Way, str]] = {
    "base": ("base", "the base"),
    "prompt": ("prompt", "the base behind the prompt {name!r}"),
    "knowledge": ("knowledge", "the base with a knowledge base"),
    "tuned": ("tuned", "the tuned model"),
    "tuned_knowledge": ("both", "the tuned model with a knowledge base"),
}
"""Role -> how it is called."""
QUOTES: tuple[Way, str] = ("knowledge", "a knowledge base alone, which quotes")


def line_up(
    spec: CompareSpec, given: Mapping[str, Artifact], store: Store, open_model: Callable[[Artifact], ChatModel]
) -> list[Candidate]:
    """Give the candidates of a comparison."""
    found = []
    for role in (*WAYS, *(role for role in given if role.startswith("also_"))):
        if role not in given:
            continue
        artifact = given[role]
        way, label = _called(role, given)
        name = str(artifact.card.figures.get("prompt", ""))
        made = seconds_to_make(store, artifact)
        opened = partial(_open, artifact, store, open_model)
        found.append(Candidate(way, label.format(name=name), artifact.id, made, opened))
    return [*found, *(_remote(url) for url in spec.urls)]


def _open(artifact: Artifact, store: Store, open_model: Callable[[Artifact], ChatModel]) -> ChatModel:
    """Open what is as it was made. Raises StoreError for what was altered: it would answer in another's name."""
    verify_whole(store, artifact)
    return open_model(artifact)


def _called(role: str, given: Mapping[str, Artifact]) -> tuple[Way, str]:
    """How a candidate is called: a knowledge base by who writes its answers, whatever its role."""
    artifact = given[role]
    if artifact.kind != "answer":
        return WAYS.get(role, ("other", artifact.id))
    writer = artifact.order.inputs.get("generator", "")
    address = str(artifact.order.spec.get("generator", ""))
    if "://" in address:
        return "other", f"{address} with a knowledge base"
    if not writer or address == "none":
        return QUOTES
    for known, called in (("base", "knowledge"), ("tuned", "tuned_knowledge")):
        if known in given and given[known].id == writer:
            return WAYS[called]
    return "other", f"{writer} with a knowledge base"


def _remote(address: str) -> Candidate:
    url, _, name = address.partition("#")

    def open_url() -> ChatModel:
        from luthier.engine.remote import RemoteModel

        return RemoteModel(url, name or None)

    return Candidate("other", address, address, 0.0, open_url)
