"""The CPU engine's form of a model: what transformers computes, OpenVINO computes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact, Store
from luthier.engine.openvino_core import core
from luthier.event import hush
from luthier.quantize.openvino_weights import as_bfloat16, as_int8
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec

IDS = [1, 607, 269, 201, 820, 318, 262, 469, 374, 460, 91, 361, 275, 33, 2, 201, 1, 354, 604, 749, 201]


@pytest.fixture(scope="session")
def exact(tiny_model: Artifact, tiny_store: Store) -> Artifact:
    return quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, tiny_store, hush)


@pytest.fixture(scope="session")
def plain(tiny_model: Artifact) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)


def ask(request: Any, rows: list[list[int]], begin: int, beam: list[int]) -> np.ndarray[Any, Any]:
    """Give the logits of the tokens in `rows`, which follow `begin` tokens the request has seen."""
    count, width = len(rows), len(rows[0])
    found = request.infer(
        {
            "input_ids": np.array(rows),
            "attention_mask": np.ones((count, begin + width), np.int64),
            "position_ids": np.tile(np.arange(begin, begin + width), (count, 1)),
            "beam_idx": np.array(beam, np.int32),
        }
    )
    return np.array(found["logits"])


def opened(folder: Path) -> Any:
    properties = json.loads((folder / "engine.json").read_text(encoding="utf-8"))["properties"]
    compiled = core().compile_model(folder / "openvino_model.xml", "CPU", properties)
    return compiled.create_infer_request()


def test_the_graph_computes_the_logits_of_transformers_also_step_by_step(exact: Artifact, plain: Any) -> None:
    with torch.no_grad():
        wanted = plain(torch.tensor([IDS])).logits[0].numpy()
    request = opened(exact.folder)
    assert np.abs(ask(request, [IDS], 0, [0])[0] - wanted).max() < 1e-4
    request.reset_state()
    ask(request, [IDS[:9]], 0, [0])
    assert np.abs(ask(request, [IDS[9:]], 9, [0])[0] - wanted[9:]).max() < 1e-4


def test_rows_of_a_batch_change_places_by_beam_idx(exact: Artifact, plain: Any) -> None:
    one, other = IDS[:6], IDS[6:12]
    request = opened(exact.folder)
    ask(request, [one, other], 0, [0, 1])
    turned = ask(request, [[5], [7]], 6, [1, 0])
    with torch.no_grad():
        wanted = plain(torch.tensor([[*other, 5], [*one, 7]])).logits[:, -1].numpy()
    assert np.abs(turned[:, -1] - wanted).max() < 1e-4


def test_the_engines_pipeline_answers_greedily_as_transformers_does(exact: Artifact, plain: Any) -> None:
    wanted = plain.generate(torch.tensor([IDS]), max_new_tokens=40, do_sample=False)[0][len(IDS) :].tolist()
    settings = json.loads((exact.folder / "engine.json").read_text(encoding="utf-8"))
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    pipeline = openvino_genai.ContinuousBatchingPipeline(exact.folder, scheduler, "CPU", settings["properties"])
    found = pipeline.generate(
        [openvino.Tensor(np.array([IDS], np.int64))], [openvino_genai.GenerationConfig(max_new_tokens=40)]
    )
    assert found[0].m_generation_ids == [wanted]


def test_bfloat16_weights_are_rounded_as_torch_rounds() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 40)).astype(np.float32)
    assert np.array_equal(computed(as_bfloat16(weight)), torch.from_numpy(weight).bfloat16().float().numpy())


def test_int8_weights_lie_within_half_a_step_of_their_group() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    weight[0, :32] = 0
    steps = np.abs(weight.reshape(8, 2, 32)).max(axis=2, keepdims=True) / 127
    away = np.abs(computed(as_int8(weight)) - weight).reshape(8, 2, 32)
    # half a step, and what the scale lost as float16 (2^-11 of it) times at most 127 steps
    assert (away <= steps * (0.5 + 127 * 2**-11) + 1e-7).all()
    assert (away[0, 0] == 0).all()


def computed(node: Any) -> np.ndarray[Any, Any]:
    graph = openvino.Model([node], [], "weights")
    found = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])
    return np.array(found[0])
