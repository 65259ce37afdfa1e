"""A knowledge base lives on while the artifact that tells of it stays: nothing that was said before a change is told
after it.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_chat import FakeModel, made

from luthier.act.run import act
from luthier.act.spec import ActSpec, KnowledgeSpec
from luthier.answer.run import answer
from luthier.answer.spec import AnswerSpec
from luthier.answer.synthesis import SYNTHESES
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Event, Progress, Tell, hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.recipe.openers import open_artifact
from luthier.retrieve import state
from luthier.retrieve.state import fingerprint, living

TASK = """
title: Colours
prompt: "{{ question }}"
reference: "{{ answer }}"
metrics: [exact_match]
rows: rows.jsonl
"""


def brought_in(store: Store, folder: Path, texts: dict[str, str], **settings: Any) -> Artifact:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return index(IndexSpec(source=str(folder), name="sea", embedder="none", **settings), None, store, hush)


BOATS = {"boat.txt": "The boat Aurora is red.", "ship.txt": "The ship Borealis is blue."}


@pytest.fixture
def sea(store: Store, tmp_path: Path) -> Artifact:
    return brought_in(store, tmp_path / "docs", BOATS)


def scored(store: Store, folder: Path, model: Artifact, tell: Tell = hush, **settings: Any) -> tuple[str, list[str]]:
    """Give the id of an evaluation of a knowledge base, and what it answered."""
    (folder / "task.yaml").write_text(TASK + "rows_per_batch: 1\n", encoding="utf-8")
    rows = [{"question": f"Which colour has the {name}?", "answer": "red"} for name in ("boat Aurora", "ship Borealis")]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = EvaluateSpec(task=str(folder / "task.yaml"), alone=True, bootstrap=100, **settings)
    made = evaluate(spec, None, None, None, model, store, tell, lambda artifact: open_artifact(store, artifact))
    lines = (made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return made.id, sorted(json.loads(line)["answer"] for line in lines)


def test_an_evaluation_asks_a_changed_base_anew_and_not_an_unchanged_one(
    store: Store, sea: Artifact, tmp_path: Path
) -> None:
    first, said = scored(store, tmp_path, sea)
    assert said == ["The boat Aurora is red. [1]", "The ship Borealis is blue. [1]"]
    delete_documents(store.root, "sea", [str(tmp_path / "docs" / "ship.txt")], hush)
    second, said = scored(store, tmp_path, sea)
    assert second != first
    assert said == ["The boat Aurora is red. [1]", "This is not in the documents."]
    brought_in(store, tmp_path / "docs", BOATS)
    assert scored(store, tmp_path, sea)[0] == first


def test_an_evaluation_asks_anew_once_bases_are_answered_from_in_another_way(
    store: Store, sea: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = scored(store, tmp_path, sea)
    other = replace(SYNTHESES["extract"], say=lambda task: iter(["It has a colour. [1]"]))
    monkeypatch.setitem(SYNTHESES, "extract", other)
    monkeypatch.setattr(state, "ANSWERING", state.ANSWERING + 1)
    second, said = scored(store, tmp_path, sea)
    assert second != first
    assert all(text.startswith("It has a colour.") for text in said)


def removed_after_one(store: Store, folder: Path) -> Tell:
    """Take the ship out of the knowledge base once the first answer is there."""

    def tell(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 1:
            delete_documents(store.root, "sea", [str(folder / "docs" / "ship.txt")], hush)

    return tell


def test_what_a_base_says_that_changes_while_an_evaluation_asks_it_is_not_kept(
    store: Store, sea: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as caught:
        scored(store, tmp_path, sea, removed_after_one(store, tmp_path))
    assert caught.value.what == "the knowledge base 'sea' changed while it was asked"
    assert caught.value.where == str(store.root / "knowledge" / "sea")
    assert caught.value.mend.startswith("run it again")
    brought_in(store, tmp_path / "docs", BOATS)  # as it was when the first was asked
    _, said = scored(store, tmp_path, sea)
    assert said == ["The boat Aurora is red. [1]", "The ship Borealis is blue. [1]"]


def test_a_base_that_judges_is_asked_anew_in_another_state(store: Store, sea: Artifact, tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(TASK.replace("exact_match", "judged_relevance"), encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"question": "Which colour has the boat?", "answer": "red"}\n', "utf-8")
    models = {sea.id: FakeModel(lambda asked: '{"score": 5}')}
    model = made(store, "model", "apart", {}, lambda out: None)
    models[model.id] = FakeModel(lambda asked: "red")

    def judged() -> tuple[str, int]:
        models[sea.id].batches.clear()
        spec = EvaluateSpec(task=str(task), alone=True, judge=sea.id, bootstrap=100)
        scores = evaluate(spec, None, None, None, model, store, hush, lambda artifact: models[artifact.id])
        return scores.id, len(models[sea.id].batches)

    first, count = judged()
    assert count == 1
    delete_documents(store.root, "sea", [str(tmp_path / "docs" / "ship.txt")], hush)
    second, count = judged()
    assert second != first
    assert count == 1
    assert judged() == (second, 0)


def test_answers_of_a_base_that_changes_meanwhile_are_no_artifact(store: Store, sea: Artifact, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": f"Which colour has the {name}?"} for name in ("boat Aurora", "ship Borealis")]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = AnswerSpec(question=str(questions))
    with pytest.raises(StoreError, match="the knowledge base 'sea' changed while it was asked"):
        answer(spec, sea, None, store, removed_after_one(store, tmp_path), no_model)
    made = answer(spec, sea, None, store, hush, no_model)
    lines = (made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["abstained"] for line in lines] == [False, True]


def test_a_base_made_again_with_as_many_changes_is_another(store: Store, sea: Artifact, tmp_path: Path) -> None:
    def said() -> str:
        made = answer(AnswerSpec(question="Which colour has the boat Aurora?"), sea, None, store, hush, no_model)
        return str(json.loads((made.folder / "answers.jsonl").read_text(encoding="utf-8"))["answer"])

    assert said() == "The boat Aurora is red. [1]"
    shutil.rmtree(store.root / "knowledge" / "sea")
    brought_in(store, tmp_path / "docs", {**BOATS, "boat.txt": "The boat Aurora is green."})
    assert said() == "The boat Aurora is green. [1]"


def no_model(artifact: Artifact) -> Any:
    raise AssertionError("nothing is to be opened")


def test_whatever_answers_with_its_help_is_known_to_hang_on_it(
    store: Store, sea: Artifact, tmp_path: Path, tiny_store: Store, tiny_model: Artifact
) -> None:
    shutil.copytree(tiny_model.folder, store.artifacts / tiny_model.id)
    settings = answer(AnswerSpec(bases=["sea"]), None, None, store, hush, no_model)
    spec = ActSpec(knowledge=[KnowledgeSpec(model=settings.id)])
    agent = act(spec, store.find(tiny_model.id), store, hush, lambda artifact: open_artifact(store, artifact))
    wanted = {"knowledge sea": fingerprint(store.root / "knowledge" / "sea")}
    for artifact in (sea, settings, agent):
        assert living(store, [artifact]) == wanted
    assert living(store, [store.find(tiny_model.id)]) == {}
    again = brought_in(store, tmp_path / "docs", BOATS, about="boats and ships")
    assert living(store, [again]) != wanted
