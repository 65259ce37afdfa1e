"""The CPU engine's log-probabilities: those of a plain forward pass of transformers in float64, row by row."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens
from luthier.engine import openvino_logits
from luthier.engine.openvino import OpenVinoModel
from luthier.engine.openvino_open import open_openvino
from luthier.engine.ports import Scorer
from luthier.errors import DataError, KindError
from luthier.event import Event, Progress, hush
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec

pytest.importorskip("openvino_genai", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def folder(tiny_model: Artifact, tiny_store: Store) -> Path:
    return quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, tiny_store, hush).folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[OpenVinoModel]:
    opened = open_openvino(folder, name="tiny")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plain(tiny_model: Artifact) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float64).eval()


def row(length: int, supervised: list[int]) -> Tokens:
    mask = np.zeros(length, np.bool_)
    mask[supervised] = True
    return Tokens(RNG.integers(3, 800, length).astype(np.int32), mask)


def plainly(plain: Any, one: Tokens) -> npt.NDArray[np.float64]:
    ids = torch.from_numpy(one.ids.astype(np.int64))
    with torch.inference_mode():
        likely = plain(input_ids=ids[None]).logits[0].log_softmax(-1)
    return np.array([float(likely[place - 1, ids[place]]) for place in range(1, len(ids)) if one.mask[place]])


def test_scores_are_those_of_a_plain_forward_pass(model: OpenVinoModel, plain: Any, told: list[Event]) -> None:
    assert isinstance(model, Scorer)
    long = openvino_logits.PIECE + 40  # its past crosses the border of two pieces
    last = np.array([False] * 4 + [True])
    rows = [row(9, [1, 2, 8]), row(long, [5, 127, 128, 129, long - 1]), row(6, [])]
    rows += [Tokens(np.array([5, 6, 7, 8, token], np.int32), last) for token in (9, 10, 11)]
    rows += [row(512, [511])]
    found = model.score(rows, told.append)
    assert [len(values) for values in found] == [3, 5, 0, 1, 1, 1, 1]
    for one, values in zip(rows, found, strict=True):
        assert np.allclose(values, plainly(plain, one), atol=1e-4)
    assert told[-1] == Progress("scores", len(rows), len(rows), "rows")


def test_scores_do_not_depend_on_their_neighbours(model: OpenVinoModel) -> None:
    rows = [row(20 + number, [number + 1, 19]) for number in range(4)]
    together, turned = model.score(rows), model.score(rows[::-1])[::-1]
    alone = [model.score([one])[0] for one in rows]
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(together, turned, alone, strict=True))


def test_what_rows_begin_with_alike_is_read_once_and_changes_no_bit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_logits, "PIECE", 16)
    properties = json.loads((folder / "engine.json").read_text(encoding="utf-8"))["properties"]
    shown = RNG.integers(3, 800, 70).tolist()
    rows = [[*shown, *RNG.integers(3, 800, length).tolist()] for length in (9, 30, 5, 9)] + [shown[:40], [5, 6, 7]]

    def scores(graph: openvino_logits.Graph, ids: list[int]) -> list[float]:
        places = [len(ids) - 3, len(ids) - 2]
        return [value for part in graph.score(ids, places, ids[-2:]) for value in part]

    graph = openvino_logits.Graph(folder, properties)
    read: list[int] = []
    plainly = graph.logits

    def counted(ids: Sequence[int], kept: int = 0) -> Iterator[npt.NDArray[np.float32]]:
        read.append(len(ids) - kept)
        return plainly(ids, kept)

    monkeypatch.setattr(graph, "logits", counted)
    found = [scores(graph, ids) for ids in rows]
    assert found == [scores(openvino_logits.Graph(folder, properties), ids) for ids in rows]
    assert read == [78, 35, 10, 14, 7, 2]  # 64 of the 70 are whole pieces; of 40 less the last three 32


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (row(600, [3]), "600 tokens, the model's context is 512"),
        (Tokens(np.array([5, 99_999]), np.ones(2, bool)), "99999"),
    ],
    ids=["long", "outside"],
)
def test_a_row_that_cannot_be_scored_is_refused(model: OpenVinoModel, one: Tokens, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        model.score([one])
    assert "row 1" in caught.value.where


def test_with_an_adapter_on_it_says_that_it_cannot(model: OpenVinoModel, tmp_path: Path) -> None:
    adapted = OpenVinoModel(model.engine, model._words, name="tuned", draw=model._draw, work=tmp_path)
    with pytest.raises(KindError, match="with its adapter on") as caught:
        adapted.score([row(5, [4])])
    assert caught.value.where == "tuned"
    assert "luthier merge" in caught.value.mend
