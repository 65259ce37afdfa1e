"""Going on from a checkpoint: what can be set is set as it was, what cannot be the same is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.errors import StoreError
from luthier.event import Chose, Event, Warned, hush
from luthier.learn.checkpoint import Checkpoint
from luthier.learn.replay import check_origin, check_replayed, choices, replay


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def _checkpoint(**more: Any) -> Checkpoint:
    return Checkpoint(Path("step-000007"), {**choices("cpu", "float32", 1, packed=True, compiled=False), **more})


def test_the_notes_name_all_that_bears_on_bits() -> None:
    noted = choices("cpu", "bfloat16", 2, packed=True, compiled=False)
    assert {"packed", "compiled", "processes", "dtype", "threads", "kernels", "machine"} == noted.keys()
    assert {"torch", "transformers", "peft", "instructions"} == noted["machine"].keys()
    assert noted["machine"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_threads_and_kernels_are_set_as_they_were(told: list[Event]) -> None:
    kernels = {**choices("cpu", "float32", 1, packed=True, compiled=False)["kernels"], "float32_matmul": "medium"}
    replay(_checkpoint(threads=1, kernels=kernels), "cpu", 1, told.append, anyway=False)
    assert torch.get_num_threads() == 1
    assert torch.get_float32_matmul_precision() == "medium"
    assert {event.what for event in told if isinstance(event, Chose)} >= {"kernels"}


def test_another_version_is_refused_with_both_ways_out(told: list[Event]) -> None:
    machine = {**choices("cpu", "float32", 1, packed=True, compiled=False)["machine"], "torch": "1.0"}
    start = _checkpoint(machine=machine)
    with pytest.raises(StoreError, match=r"torch 1\.0, here ") as caught:
        replay(start, "cpu", 1, hush, anyway=False)
    assert caught.value.where == "step-000007"
    assert "--fresh" in caught.value.mend
    assert "--anyway" in caught.value.mend
    replay(start, "cpu", 1, told.append, anyway=True)
    assert any(isinstance(event, Warned) and "torch 1.0" in event.what for event in told)


def test_another_way_to_compute_is_refused() -> None:
    found = choices("cpu", "float32", 1, packed=False, compiled=False)
    with pytest.raises(StoreError, match="began with packed=True, this machine computes packed=False") as caught:
        check_replayed(_checkpoint(), found, hush, anyway=False)
    assert caught.value.where == "step-000007"
    assert "--anyway" in caught.value.mend
    check_replayed(_checkpoint(), choices("cpu", "float32", 1, packed=True, compiled=False), hush, anyway=False)


def test_another_number_of_processes_is_told_not_refused(told: list[Event]) -> None:
    replay(_checkpoint(processes=2, threads=1), "cpu", 1, told.append, anyway=False)
    [chosen] = told
    assert isinstance(chosen, Chose)
    assert (chosen.what, chosen.value) == ("processes", "1")


def test_a_checkpoint_of_another_models_run_is_refused() -> None:
    check_origin(None, "model-1")
    check_origin(_checkpoint(model="model-1"), "model-1")
    with pytest.raises(StoreError, match="step-000007 is of a run on model-2, this one is on model-1") as caught:
        check_origin(_checkpoint(model="model-2"), "model-1")
    assert caught.value.where == "step-000007"
    assert "--fresh" in caught.value.mend
