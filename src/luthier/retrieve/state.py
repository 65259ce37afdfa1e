"""In which state knowledge bases are: they live on while the artifacts that tell of them stay as they are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.retrieve.place import CATALOGUE, CURRENT, knowledge_folder, read_current

PASSING_ON = ("answer", "agent", "prompt", "release")
"""Kinds that answer with the help of what they were made from."""

ANSWERING = 6
"""The version of how knowledge bases are answered from (the stage `answer` has it too): raised, whoever asked one asks
it anew."""

KNOWLEDGE = "knowledge "
"""What the name of such a choice begins with."""


def fingerprint(folder: Path) -> str:
    """Give a hash of what a knowledge base holds, by what it is found and how it is answered from.

    Equal ones give equal answers.
    """
    from luthier.retrieve.catalogue import Catalogue  # numpy, which no door of a stage loads

    current = read_current(folder)
    catalogue = Catalogue(folder / current.generation / CATALOGUE)
    try:
        with catalogue.reading():
            held = sorted((label, mark) for label, (_, mark, _) in catalogue.documents().items())
    finally:
        catalogue.close()
    text = json.dumps([ANSWERING, asdict(current), held], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def living(store: Store, artifacts: Sequence[Artifact], bases: Sequence[str] = ()) -> dict[str, str]:
    """Give `knowledge NAME` -> fingerprint of every knowledge base that has a part in what these artifacts answer, and
    of `bases`, which are named.

    A stage that keeps their answers takes it among its choices: answers of another state are other answers.
    """
    found: dict[str, str] = {}
    for name in sorted({*bases, *(name for artifact in artifacts for name in _names(store, artifact))}):
        folder = knowledge_folder(store.root, name)
        if (folder / CURRENT).exists():  # else whoever opens it says so
            found[KNOWLEDGE + name] = fingerprint(folder)
    return found


def state_in(choices: Mapping[str, str], store: Store, artifact: Artifact) -> dict[str, str]:
    """Give what an order's choices say of the knowledge bases behind one of those that are asked."""
    return {name: choices[name] for name in living(store, [artifact]) if name in choices}


def check_unchanged(
    store: Store, artifacts: Sequence[Artifact], before: Mapping[str, str], bases: Sequence[str] = ()
) -> None:
    """Raise StoreError if `living` no longer gives what it gave `before` they were asked.

    An open knowledge base follows what is put into it and taken out: what it said may be of either state.
    """
    now = living(store, artifacts, bases)
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            folder = knowledge_folder(store.root, name.removeprefix(KNOWLEDGE))
            raise StoreError(
                f"the knowledge base {folder.name!r} changed while it was asked",
                where=str(folder),
                mend="run it again: then it is asked as it is now",
            )


def _names(store: Store, artifact: Artifact) -> set[str]:
    if not artifact.exists:
        return set()  # only planned
    card = artifact.card
    if card.kind == "index":
        return {str(card.spec["name"])}
    if card.kind not in PASSING_ON:
        return set()
    names = set(card.spec["bases"]) if card.kind == "answer" else set()
    made = [value for value in card.inputs.values() if (store.artifacts / value).is_dir()]
    return names.union(*(_names(store, store.find(value)) for value in made))
