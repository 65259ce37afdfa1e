"""The stage on an accelerator: the same losses as on the processor (make gpu)."""

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
    return [json.loads(line)["loss"] for line in (made.folder / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.02)])
def test_losses_on_cuda_are_those_of_the_processor(
    dtype: str, tolerance: float, short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    cpu = tune(short_run, tiny_model, tiny_data, Store(tmp_path / "cpu"), hush)
    spec = short_run.model_copy(update={"device": "cuda", "dtype": dtype})
    cuda = tune(spec, tiny_model, tiny_data, Store(tmp_path / "cuda"), hush)
    assert _losses(cuda) == pytest.approx(_losses(cpu), rel=tolerance)


def test_auto_finds_the_device(short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store) -> None:
    spec = short_run.model_copy(update={"device": "auto", "dtype": "auto"})
    assert tune(spec, tiny_model, tiny_data, store, hush).order.choices == {"device": "cuda", "dtype": "bfloat16"}
