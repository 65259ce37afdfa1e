"""Answer: questions get answers from a knowledge base, each sentence with its checked source; or settings are kept."""

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.answer.spec import AnswerSpec
from luthier.artifact.card import Card
from luthier.artifact.order import Order
from luthier.artifact.questions import is_file
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.engine.ports import ChatModel
from luthier.errors import SpecError
from luthier.event import Tell
from luthier.retrieve.place import CURRENT, knowledge_folder
from luthier.retrieve.state import ANSWERING, check_unchanged, living

VERSION = ANSWERING


def answer(
    spec: AnswerSpec,
    index: Artifact | None,
    generator: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: Callable[[Artifact], ChatModel],
) -> Artifact:
    """Make the `answer` of a knowledge base: answers.jsonl, traces.jsonl and settings.json; opened, it answers anew.

    Raises SpecError for settings that do not go together, DataError for a file of questions that cannot be used, and
    what the knowledge base and the generator raise.
    """
    if index is not None:
        check_kind(index, "index", "index")
    if (index is None) == (not spec.bases):
        raise SpecError(
            "both bases and an index are given" if index else "no knowledge base is given",
            where="key bases",
            mend="give --index ID, or bases=[NAME, NAME]",
        )
    folders = [index.folder] if index else [knowledge_folder(store.root, name) for name in spec.bases]
    if not store.dry:  # in a plan they may be still to be made
        _check_bases(spec.bases, store)
    if generator is not None and spec.generator not in ("auto", "local"):
        raise SpecError(
            f"generator is {spec.generator!r}, and {generator.id} is given too",
            where="key generator",
            mend="leave one of them out",
        )
    inputs = {
        **({"index": index.id} if index else {}),
        **({"generator": generator.id} if generator else {}),
        **_files(spec),
    }
    traces = _traces(spec.replay, store)
    if traces is not None:
        inputs["replay"] = _fingerprint(traces, "replay")

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.answer.build import build_answers

        name = index.id if index else "+".join(spec.bases)
        figures = build_answers(spec, folders, name, generator, traces, out, open_model, tell)
        if asks:
            check_unchanged(store, given, choices, spec.bases)
        return figures

    exist = index.exists if index else all((folder / CURRENT).exists() for folder in folders)
    asks = exist and (spec.question or spec.replay)
    given = [artifact for artifact in (index, generator) if artifact is not None]
    choices = living(store, given, spec.bases) if asks else {}
    return store.make(Order("answer", "answer", VERSION, spec.model_dump(mode="json"), inputs, choices), build, tell)


def _check_bases(bases: Sequence[str], store: Store) -> None:
    """Raise SpecError for what is not the name of a knowledge base."""
    names = sorted(path.parent.name for path in (store.root / "knowledge").glob(f"*/{CURRENT}"))
    for name in bases:
        if name in names:
            continue
        meant = str(card.spec["name"]) if (card := _card(name, store)) else name.removeprefix("kb:")
        near = difflib.get_close_matches(meant, names, n=1)
        if card and meant in names:
            mend = f"bases={meant}, or --index {name}"
        elif near:
            mend = f"bases={near[0]}"
        else:
            mend = f"there are: {', '.join(names)}" if names else "make one: luthier index FILES... name=NAME"
        what = f"is an artifact that tells of the knowledge base {meant!r}" if card else "is no knowledge base"
        raise SpecError(f"{name!r} {what}", where="key bases", mend=mend)


def _card(name: str, store: Store) -> Card | None:
    return next((card for card in store.cards() if card.id == name and card.kind == "index"), None)


def _traces(replay: str, store: Store) -> Path | None:
    """The file of traces that are to be gone through again: one that is named, or that of earlier answers."""
    if not replay or Path(replay).is_file():
        return Path(replay) if replay else None
    return store.find(replay, "answer").folder / "traces.jsonl"


def _files(spec: AnswerSpec) -> dict[str, str]:
    """The fingerprints of the files of questions, so that other questions are another order."""
    paths = {"questions": spec.question if is_file(spec.question) else "", "tune": spec.tune}
    return {role: _fingerprint(Path(path), role) for role, path in paths.items() if path}


def _fingerprint(path: Path, role: str) -> str:
    if not path.is_file():
        key = "question" if role == "questions" else role
        raise SpecError(
            f"there is no file {str(path)!r}", where=f"key {key}", mend="give a file of questions that exists"
        )
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
