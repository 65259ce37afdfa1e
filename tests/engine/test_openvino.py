"""The CPU engine against the local one: the same tokens, many at once, through crashes, with adapters."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel, open_local
from luthier.engine.openvino import OpenVinoModel
from luthier.engine.openvino_open import open_openvino
from luthier.engine.ports import ChatModel, Closing, Concurrent, Piece, Prompt, Sampling, Spelled, Watched
from luthier.errors import DataError, ModelError, ServeError
from luthier.event import Event, Progress, hush
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec

pytest.importorskip("openvino_genai", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

GREEDY = Sampling(max_tokens=16, temperature=0)
QUESTION = (Message("user", "Hello"),)
PROMPTS: list[Prompt] = [
    QUESTION,
    (Message("system", "Be brief."), Message("user", "今天天气很好，你好世界 " * 6)),
    "The quick brown fox",
    tuple(range(5, 80)),
    *((Message("user", f"Say the number {number}"),) for number in range(8)),
]


@pytest.fixture(scope="module")
def artifact(tiny_model: Artifact, tiny_store: Store) -> Artifact:
    return quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, tiny_store, hush)


@pytest.fixture(scope="module")
def model(artifact: Artifact) -> Iterator[OpenVinoModel]:
    opened = open_openvino(artifact.folder, name="tiny")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def local(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


def test_it_obeys_the_ports(model: OpenVinoModel, local: LocalModel) -> None:
    obeying: ChatModel = model
    assert isinstance(obeying, Concurrent)
    assert isinstance(obeying, Spelled)
    assert isinstance(obeying, Watched)
    assert isinstance(obeying, Closing)
    assert (model.context, model.vocabulary, model.defaults) == (local.context, local.vocabulary, local.defaults)
    assert model.ailing() == ""


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.7},
        {"frequency_penalty": 0.6, "presence_penalty": -0.4},
        {"min_tokens": 16},
        {"stop": ("s", "的")},
    ],
    ids=str,
)
def test_greedy_answers_are_those_of_the_local_engine(
    model: OpenVinoModel, local: LocalModel, wishes: dict[str, object]
) -> None:
    sampling = replace(GREEDY, **wishes)  # type: ignore[arg-type]
    assert model.answer(PROMPTS, sampling) == local.answer(PROMPTS, sampling)


def test_a_stream_says_what_the_answer_says_with_others_beside_it(model: OpenVinoModel) -> None:
    whole = model.answer(PROMPTS, GREEDY)
    found: dict[int, list[object]] = {}

    def ask(index: int) -> None:
        found[index] = list(model.stream(PROMPTS[index], GREEDY, lambda: False))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(PROMPTS)
    for index, pieces in found.items():
        assert pieces[-1].answer == whole[index]  # type: ignore[attr-defined]
        assert "".join(piece.text for piece in pieces) == whole[index].text  # type: ignore[attr-defined]
        assert sum((piece.token_ids for piece in pieces), ()) == whole[index].token_ids  # type: ignore[attr-defined]


def test_a_drawn_answer_repeats_with_its_seed_whoever_is_beside_it(model: OpenVinoModel, told: list[Event]) -> None:
    hot = Sampling(max_tokens=12, temperature=1.5, top_p=0.9, top_k=50, seed=4)
    together = model.answer(PROMPTS, hot, told.append)
    assert [model.answer([prompt], hot)[0] for prompt in PROMPTS] == together
    assert model.answer(PROMPTS, replace(hot, seed=5)) != together
    assert told[-1] == Progress("answers", len(PROMPTS), len(PROMPTS), "answers")
    free = Sampling(max_tokens=12, temperature=1.5)
    assert model.answer(PROMPTS[:1], free) != model.answer(PROMPTS[:1], free)


def test_a_schema_is_kept(model: OpenVinoModel) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 130}, "kind": {"enum": ["cat", "dog"]}},
        "required": ["age", "kind"],
        "additionalProperties": False,
    }
    for seed in range(4):
        wish = Sampling(max_tokens=300, temperature=1.0, seed=seed, json_schema=json.dumps(schema))
        [answer] = model.answer([QUESTION], wish)
        found = json.loads(answer.text)
        assert sorted(found) == ["age", "kind"]
        assert 0 <= found["age"] <= 130
        assert found["kind"] in ("cat", "dog")


@pytest.mark.parametrize(
    ("wish", "where", "what"),
    [
        (Sampling(top_logprobs=2), "top_logprobs", "does not know"),
        (Sampling(logit_bias=((3, 1.0),)), "logit_bias", "does not know"),
        (Sampling(presence_penalty=2.5), "presence_penalty", "2.5"),
        (Sampling(json_schema='{"type": "integer", "multipleOf": 7}'), "json_schema", "multipleOf"),
        (Sampling(json_schema='{"type": "number", "minimum": 1}'), "json_schema", "minimum"),
        (Sampling(json_schema='{"enum": ["a", 1], "type": "string"}'), "json_schema", "type"),
        (Sampling(json_schema="{"), "json_schema", "not JSON"),
        (Sampling(temperature=-1.0), "temperature", "-1"),
    ],
    ids=str,
)
def test_what_the_engine_lacks_is_refused_by_name(model: OpenVinoModel, wish: Sampling, where: str, what: str) -> None:
    for ask in (lambda: model.answer([QUESTION], wish), lambda: model.stream(QUESTION, wish, lambda: False)):
        with pytest.raises(DataError) as caught:
            ask()
        assert caught.value.where == f"key {where}"
        assert what in caught.value.what
        assert caught.value.mend


def test_a_prompt_that_does_not_fit_is_refused_here(model: OpenVinoModel) -> None:
    with pytest.raises(DataError, match="600 tokens, the model's context is 512") as caught:
        model.answer([QUESTION, (5,) * 600], GREEDY)
    assert "prompt 2" in caught.value.where
    with pytest.raises(DataError, match="outside the vocabulary"):
        model.stream((2_000_000,), GREEDY, lambda: False)


def test_a_stream_that_is_left_frees_the_engine(model: OpenVinoModel) -> None:
    heard: list[Piece] = []
    endless = Sampling(max_tokens=480, temperature=0, min_tokens=480)
    for piece in model.stream(QUESTION, endless, lambda: len(heard) >= 3):
        heard.append(piece)
    assert 3 <= len(heard) < 20
    begun = time.monotonic()
    assert len(model.answer(PROMPTS, GREEDY)) == len(PROMPTS)
    assert time.monotonic() - begun < 20


def test_an_answer_ends_when_its_time_is_over(model: OpenVinoModel) -> None:
    [answer] = model.answer([QUESTION], Sampling(max_tokens=480, temperature=0, min_tokens=480, max_seconds=0.05))
    assert answer.finish == "length"
    assert len(answer.token_ids) < 480


def test_streams_of_an_engine_that_is_killed_end_with_an_error_and_it_comes_back(model: OpenVinoModel) -> None:
    endings: list[Exception] = []
    speaks = threading.Event()

    def ask() -> None:
        try:
            for _ in model.stream(QUESTION, Sampling(max_tokens=480, temperature=0, min_tokens=480), lambda: False):
                speaks.set()
        except ServeError as error:
            endings.append(error)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    assert speaks.wait(timeout=60)
    os.kill(model.engine.process_number or 0, signal.SIGKILL)
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert endings
    assert all("SIGKILL" in str(error) for error in endings)
    assert len(model.answer(PROMPTS, GREEDY)) == len(PROMPTS)


@pytest.mark.parametrize("name", ["openvino_model.bin", "openvino_model.xml", "openvino_tokenizer.xml", "engine.json"])
def test_a_folder_that_is_not_whole_is_told_at_once(artifact: Artifact, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(artifact.folder, tmp_path / "broken"))
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises((ModelError, ServeError)) as caught:
        open_openvino(folder, name="broken")
    assert str(folder) in caught.value.where
    assert "quantize" in caught.value.mend
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"no {name}"):
        open_openvino(folder, name="broken")
