"""Openers: the kind on the card names what answers; what cannot answer is refused before anything loads."""

import json
from pathlib import Path

import pytest

from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, StoreError
from luthier.event import hush
from luthier.recipe.openers import OPENERS, base_of, open_artifact, open_named


def made(store: Store, kind: Kind, **inputs: str) -> Artifact:
    def build(out: Path, work: Path) -> dict[str, str]:
        (out / "weights").write_text(kind, encoding="utf-8")
        return {}

    return store.make(Order(kind, "test", 1, {}, inputs), build, hush)


def test_the_base_lies_below_an_adapter_and_a_release(store: Store) -> None:
    model = made(store, "model")
    adapter = made(store, "adapter", model=model.id)
    release = made(store, "release", tuned=adapter.id)
    assert [base_of(store, artifact) for artifact in (model, adapter, release)] == [model] * 3


def test_what_cannot_answer_is_refused(store: Store) -> None:
    rows = made(store, "rows")
    with pytest.raises(KindError) as caught:
        open_artifact(store, rows)
    assert caught.value.what == f"{rows.id} is of the kind 'rows', which cannot answer"
    assert caught.value.where == str(rows.folder)
    assert caught.value.mend == f"give one of the kind {' or '.join(OPENERS)}"


def test_without_a_release_a_name_is_asked_for(store: Store) -> None:
    with pytest.raises(StoreError, match="nothing is released yet") as caught:
        open_named(store)
    assert caught.value.where == str(store.root)
    assert "--model ID" in caught.value.mend


def test_an_unknown_name_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="0 artifacts are called 'nothing-here'"):
        open_named(store, "nothing-here")


def test_an_altered_release_is_not_opened(store: Store) -> None:
    adapter = made(store, "adapter", model=made(store, "model").id)
    release = made(store, "release", tuned=adapter.id)
    (adapter.folder / "weights").write_text("altered", encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        open_artifact(store, release)
    assert caught.value.what == f"weights of {adapter.id} differs from its checksum, and {release.id} answers with it"
    assert caught.value.mend.startswith("put it back as it was from a copy, or go back")


def test_a_model_opens_by_id_and_by_folder_and_answers(tiny_store: Store, tiny_model: Artifact) -> None:
    for name in (tiny_model.id, str(tiny_model.folder)):
        assert open_named(tiny_store, name, dtype="float32").name == Path(name).name


def test_an_adapter_folder_without_its_base_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    config = {"base_model_name_or_path": "model-000000000000"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(StoreError, match="0 artifacts are called 'model-000000000000'"):
        open_named(store, str(tmp_path / "adapter"))
