"""What a person names, opened by the engine that is wished for: its form of the model is made first where it is not."""

import json
import shutil
from pathlib import Path

import pytest

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel
from luthier.engine.openvino import OpenVinoModel
from luthier.engine.ports import Closing, Sampling
from luthier.errors import KindError, ToolError
from luthier.event import Chose, Event, Made, Said
from luthier.recipe.openers import open_artifact, open_named

pytest.importorskip("openvino_genai", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

GREEDY = Sampling(max_tokens=8, temperature=0)
QUESTION = [(Message("user", "Hello"),)]


@pytest.fixture
def own(tiny_model: Artifact, tmp_path: Path) -> tuple[Store, Artifact]:
    """Give a store with nothing in it but the tiny model."""
    store = Store(tmp_path / "own")
    shutil.copytree(tiny_model.folder, tmp_path / "own" / "artifacts" / tiny_model.id)
    return store, store.find(tiny_model.id)


def chosen(told: list[Event]) -> list[tuple[str, str]]:
    return [(event.value, event.why) for event in told if isinstance(event, Chose) and event.what == "engine"]


def test_the_form_is_made_once_and_then_chosen(own: tuple[Store, Artifact], told: list[Event]) -> None:
    store, model = own
    plain = open_artifact(store, model, dtype="float32", engine="auto", tell=told.append)
    assert isinstance(plain, LocalModel)
    assert "--engine openvino makes it first" in chosen(told)[0][1]
    told.clear()
    wished = open_named(store, model.id, dtype="float32", engine="openvino", tell=told.append)
    assert isinstance(wished, OpenVinoModel)
    assert any("quantize kind=openvino-f32 runs first" in event.text for event in told if isinstance(event, Said))
    assert [event.stage for event in told if isinstance(event, Made)] == ["quantize"]
    told.clear()
    by_itself = open_named(store, model.id, dtype="float32", engine="auto", tell=told.append)
    quantized = store.newest("quantized")
    assert quantized is not None
    direct = open_artifact(store, quantized, tell=told.append)
    try:
        assert isinstance(by_itself, OpenVinoModel)
        assert isinstance(direct, OpenVinoModel)
        assert not [event for event in told if isinstance(event, Made)]
        answers = [one.answer(QUESTION, GREEDY, told.append) for one in (plain, wished, by_itself, direct)]
        assert all(one == answers[0] for one in answers)
    finally:
        for one in (wished, by_itself, direct):
            assert isinstance(one, Closing)
            one.close()


def test_a_folder_that_is_no_artifact_has_no_such_form(own: tuple[Store, Artifact], tmp_path: Path) -> None:
    store, model = own
    folder = Path(shutil.copytree(model.folder, tmp_path / "plain"))
    with pytest.raises(KindError, match="no artifact") as caught:
        open_named(store, str(folder), engine="openvino")
    assert caught.value.where == str(folder)
    assert "luthier fetch" in caught.value.mend


def test_a_server_that_is_not_set_up_is_named(own: tuple[Store, Artifact]) -> None:
    store, model = own
    with pytest.raises(ToolError) as caught:
        open_artifact(store, model, engine="vllm")
    assert "vllm" in caught.value.what
    assert "luthier setup vllm" in caught.value.mend
    assert json.loads((model.folder / "card.json").read_text())["kind"] == "model"
