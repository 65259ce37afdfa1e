"""Knowledge bases that answer, opened by name, by the documents they were made of, or by settings of their own."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel
from luthier.errors import StoreError
from luthier.event import Tell
from luthier.retrieve.place import knowledge_folder

KNOWLEDGE = "kb:"
"""What the name of a knowledge base begins with, where a model is named."""
AND = "+"
"""What stands between the names of several that answer as one: `kb:handbook+law`."""


def open_base(store: Store, folders: Sequence[Path], name: str, tell: Tell) -> ChatModel:
    """Open knowledge bases with the settings as they are: sentences of the documents as they stand."""
    from luthier.answer.opening import open_answers
    from luthier.answer.spec import AnswerSpec

    return open_answers(folders, AnswerSpec(), None, name=name, keep=_keep(store, name), tell=tell)


def open_bases(store: Store, name: str, tell: Tell) -> ChatModel:
    """Open `kb:NAME`, or `kb:NAME+NAME`: several, of which those are asked whose descriptions fit the question."""
    names = name.removeprefix(KNOWLEDGE).split(AND)
    return open_base(store, [knowledge_folder(store.root, each) for each in names], name, tell)


def index_of(store: Store, name: str) -> Artifact:
    """Give the newest artifact that says what `kb:NAME` holds. Raises StoreError if there is none."""
    base = name.removeprefix(KNOWLEDGE)
    cards = [card for card in store.cards() if card.kind == "index" and card.spec.get("name") == base]
    if not cards:
        raise StoreError(
            f"no artifact tells of the knowledge base {base!r}",
            where=str(store.artifacts),
            mend="make it: luthier index FILES... name=NAME; of several as one: luthier answer bases=[NAME, NAME]",
        )
    return store.find(max(cards, key=lambda card: card.made_at).id, "index")


def open_answer(
    store: Store, artifact: Artifact, name: str, tell: Tell, open_generator: Callable[[Artifact], ChatModel]
) -> ChatModel:
    """Open what an artifact of the kind `answer` describes: its settings, its threshold, its generator."""
    from luthier.answer.opening import open_answers
    from luthier.answer.spec import AnswerSpec
    from luthier.engine.remote import is_address, open_address

    card = artifact.card
    spec = AnswerSpec.model_validate(card.spec)
    folders = [knowledge_folder(store.root, base) for base in spec.bases]
    if not folders:
        folders = [store.find(card.inputs["index"], "index").folder]
    generator: ChatModel | None = open_address(spec.generator) if is_address(spec.generator) else None
    if "generator" in card.inputs:
        generator = open_generator(store.find(card.inputs["generator"]))
    threshold = card.figures.get("calibration", {}).get("threshold")
    keep = _keep(store, artifact.id)
    return open_answers(folders, spec, generator, name=name, threshold=threshold, keep=keep, tell=tell)


def _keep(store: Store, name: str) -> Callable[[Mapping[str, Any]], None]:
    """Every answer leaves its trace in the project."""
    path = store.root / "traces" / f"{name.replace(KNOWLEDGE, '')}.jsonl"
    return lambda trace: atomic.append_line(path, json.dumps(trace, ensure_ascii=False))
