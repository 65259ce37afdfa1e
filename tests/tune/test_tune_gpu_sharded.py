"""Processes and weights in parts on an accelerator (make gpu): NCCL and FSDP2, here with a world of one GPU."""

import json
from pathlib import Path

import pytest
import torch

from luthier.artifact.store import Artifact, Store
from luthier.event import hush
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def _losses(made: Artifact) -> list[float]:
    return [json.loads(line)["loss"] for line in (made.folder / "history.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("shard", ["full", "offload"])
@pytest.mark.parametrize(("kind", "dtype", "tolerance"), [("lora", "float32", 1e-3), ("full", "bfloat16", 0.02)])
def test_weights_in_parts_over_nccl_learn_what_whole_ones_do(
    shard: str,
    kind: str,
    dtype: str,
    tolerance: float,
    short_run: TuneSpec,
    tiny_model: Artifact,
    tiny_data: Artifact,
    tmp_path: Path,
) -> None:
    adapter = short_run.adapter.model_copy(update={"kind": kind})
    spec = short_run.model_copy(update={"adapter": adapter, "device": "cuda", "dtype": dtype})
    whole = tune(spec, tiny_model, tiny_data, Store(tmp_path / "whole"), hush)
    learn = spec.learn.model_copy(update={"shard": shard})
    parts = tune(spec.model_copy(update={"learn": learn}), tiny_model, tiny_data, Store(tmp_path / "parts"), hush)
    assert _losses(parts) == pytest.approx(_losses(whole), rel=tolerance)
