"""Launching workers: what is refused before they start, and what is said of those that end badly."""

from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import ModelError, SpecError, ToolError
from luthier.event import hush
from luthier.spec import make
from luthier.tune.job import Job, Place, from_json, own_device, torchrun_place
from luthier.tune.launch import run_workers
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec
from luthier.tune.spread import check_shard, loaded_as
from luthier.tune.verify import Proof


def _job(tmp_path: Path, model: Artifact, data: Artifact) -> Job:
    spec = TuneSpec(device="cpu", dtype="float32").model_dump(mode="json")
    return Job(spec, str(model.folder), str(data.folder), "cpu", "float32", str(tmp_path / "out"), str(tmp_path))


def test_a_job_comes_through_a_line_of_text(tmp_path: Path, tiny_model: Artifact, tiny_data: Artifact) -> None:
    job = _job(tmp_path, tiny_model, tiny_data)
    assert "\n" not in job.to_json()
    assert from_json(job.to_json()) == job


@pytest.mark.slow
def test_the_error_of_a_worker_is_raised_here(tmp_path: Path, tiny_model: Artifact, tiny_data: Artifact) -> None:
    job = _job(tmp_path, tiny_data, tiny_data)  # no model at that place
    with pytest.raises(ModelError, match="holds no model") as caught:
        run_workers(job, 1, hush)
    assert caught.value.where
    assert caught.value.mend
    assert not list(tmp_path.glob("meeting-*"))


def test_no_processes_are_refused(short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store) -> None:
    with pytest.raises(SpecError, match="--processes is 0") as caught:
        tune(short_run, tiny_model, tiny_data, store, hush, processes=0)
    assert caught.value.where == "command line"
    assert caught.value.mend == "give 1 or more"


def test_torchrun_is_seen_by_what_it_sets_and_does_not_go_with_processes(
    short_run: TuneSpec,
    tiny_model: Artifact,
    tiny_data: Artifact,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert torchrun_place() is None
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "somewhere"}.items():
        monkeypatch.setenv(name, value)
    assert torchrun_place() == Place(3, 8, 1)
    with pytest.raises(SpecError, match="torchrun started 8 processes") as caught:
        tune(short_run, tiny_model, tiny_data, store, hush, processes=2)
    assert caught.value.where == "command line"
    assert "leave out --processes" in caught.value.mend


def test_each_process_has_an_accelerator_of_its_own() -> None:
    assert own_device("cuda", Place(5, 8, 1)) == "cuda:1"
    assert own_device("cpu", Place(5, 8, 1)) == "cpu"
    assert own_device("cuda", Place(0, 1, 0)) == "cuda"


@pytest.mark.parametrize(
    ("settings", "device", "where"),
    [
        (["learn.shard=full", "adapter.kind=full", "learn.optimizer=muon"], "cpu", "key learn.optimizer"),
        (["learn.shard=offload"], "cpu", "key learn.shard"),
        (["learn.shard=full"], "mps", "key learn.shard"),
    ],
)
def test_what_weights_in_parts_do_not_go_with_is_refused(settings: list[str], device: str, where: str) -> None:
    with pytest.raises((SpecError, ToolError)) as caught:
        check_shard(make(TuneSpec, settings), device)
    assert caught.value.where == where
    assert "learn.shard" in caught.value.mend


def test_weights_that_are_trained_in_parts_are_their_own_masters() -> None:
    own = make(TuneSpec, ["learn.shard=full", "adapter.kind=full"])
    adapter = make(TuneSpec, ["learn.shard=full"])
    assert loaded_as(own, "cuda:1", "bfloat16") == ("cpu", "float32")
    assert loaded_as(adapter, "cuda:1", "bfloat16") == ("cpu", "bfloat16")
    assert loaded_as(TuneSpec(), "cuda:1", "bfloat16") == ("cuda:1", "bfloat16")


def test_a_proof_fails_by_one_bit() -> None:
    line = {"step": 1, "loss": 0.1}
    same = Proof([line], [dict(line)], 1, 1, (), ("step-000001/optimizer.safetensors",))
    assert same.holds
    other = Proof([line], [{"step": 1, "loss": 0.1 + 2**-56}], 1, 1, (), ())
    assert not other.holds
    assert any("DIFFERENT" in text for text in other.lines())
    assert other.lines()[-1] == "resume is NOT exact"
