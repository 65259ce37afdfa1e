"""One process = two processes: the same losses, checkpoints that load in both, and no half-dead run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from luthier.artifact.store import Artifact, Store
from luthier.errors import Stopped, ToolError
from luthier.event import Chose, Event, Step, Tell, hush
from luthier.spec import make
from luthier.tune import run
from luthier.tune.launch import run_workers
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec
from luthier.tune.verify import verify_resume

pytestmark = [pytest.mark.slow, pytest.mark.journey]  # five minutes: most of it is starting processes

SETTINGS = [
    "adapter.r=4",
    "learn.rate=5e-3",
    "learn.epochs=1.2",
    "learn.rows_per_step=8",
    "learn.dev_every_steps=4",
    'learn.compile="off"',  # bare, YAML takes it for a truth
    "checkpoint.every_steps=3",
    "dtype=float32",
    "device=cpu",
    "track=[]",
]


def _spec(*more: str) -> TuneSpec:
    return make(TuneSpec, [*SETTINGS, *more])


def _history(made: Artifact) -> list[dict[str, float]]:
    return [json.loads(line) for line in (made.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def _assert_close(found: Artifact, expected: Artifact) -> None:
    lines, wanted = _history(found), _history(expected)
    assert len(lines) == len(wanted) > 5
    for line, want in zip(lines, wanted, strict=True):
        assert line.keys() == want.keys()
        assert line["loss"] == pytest.approx(want["loss"], rel=1e-6)
        assert line == pytest.approx(want, rel=1e-5)


def _ask_at(step: int, number: int = signal.SIGINT) -> Tell:
    def tell(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            os.kill(os.getpid(), number)

    return tell


def _stopped_after(error: Stopped) -> int:
    found = re.match(r"stopped after step (\d+) of", error.what)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def straight(tiny_model: Artifact, tiny_data: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tune(_spec(), tiny_model, tiny_data, Store(tmp_path_factory.mktemp("one")), hush)


@pytest.mark.parametrize(
    "more",
    [
        ["learn.packing=never"],
        ["learn.tokens_per_pass=128", "learn.ledger=false"],
        ["learn.rows_per_step=1", "learn.epochs=0.15"],
        ["adapter.kind=full", "learn.rate=1e-3"],
    ],
    ids=["unpacked", "accumulated", "a row a step", "full"],
)
def test_two_processes_learn_what_one_does(
    more: list[str], tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    one = tune(_spec(*more), tiny_model, tiny_data, Store(tmp_path / "one"), hush)
    two = tune(_spec(*more), tiny_model, tiny_data, Store(tmp_path / "two"), hush, processes=2)
    assert one.id == two.id
    _assert_close(two, one)
    assert two.card.figures["processes"] == 2


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_weights_in_parts_learn_what_whole_ones_do(
    kind: str, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    spec = _spec(f"adapter.kind={kind}", "learn.rate=1e-3", "learn.keep_best=true")
    one = tune(spec, tiny_model, tiny_data, Store(tmp_path / "one"), hush)
    in_parts = _spec(f"adapter.kind={kind}", "learn.rate=1e-3", "learn.keep_best=true", "learn.shard=full")
    store = Store(tmp_path / "two")
    with pytest.raises(Stopped) as caught:
        tune(in_parts, tiny_model, tiny_data, store, _ask_at(3), processes=2)
    told: list[Event] = []
    two = tune(in_parts, tiny_model, tiny_data, store, told.append, processes=2)
    assert next(event.step for event in told if isinstance(event, Step)) == _stopped_after(caught.value) + 1
    assert any(isinstance(event, Chose) and event.what == "shard" for event in told)
    _assert_close(two, one)
    name = "adapter_model.safetensors" if kind == "lora" else "changed.safetensors"
    weights, wanted = load_file(two.folder / name), load_file(one.folder / name)
    assert weights.keys() == wanted.keys()
    assert all(torch.allclose(weights[name], wanted[name], atol=2e-5) for name in wanted)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_checkpoint_goes_on_with_another_number_of_processes(
    before: int, after: int, tiny_model: Artifact, tiny_data: Artifact, straight: Artifact, store: Store
) -> None:
    with pytest.raises(Stopped) as caught:
        tune(_spec(), tiny_model, tiny_data, store, _ask_at(5), processes=before)
    assert "run the same command again" in caught.value.mend
    kept = sorted(path.name for path in store.work.glob("*/checkpoints/*"))
    stopped = _stopped_after(caught.value)
    assert stopped in (5, 6, 7)  # the wish comes to the workers while they compute
    assert kept[-1] == f"step-{stopped:06d}"
    told: list[Event] = []
    made = tune(_spec(), tiny_model, tiny_data, store, told.append, processes=after)
    assert next(event.step for event in told if isinstance(event, Step)) == stopped + 1
    assert [event.value for event in told if isinstance(event, Chose) and event.what == "processes"] == [str(after)]
    _assert_close(made, straight)


def test_a_killed_process_ends_the_others_and_the_next_run_goes_on(
    tiny_model: Artifact,
    tiny_data: Artifact,
    straight: Artifact,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers: list[int] = []
    killed_at: list[float] = []

    def kill(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            killed_at.append(time.monotonic())
            os.kill(workers[1], signal.SIGKILL)

    monkeypatch.setattr(run, "run_workers", partial(run_workers, started=workers.extend))
    with pytest.raises(ToolError, match=r"process 2 of 2 was killed \(SIGKILL\); the others were ended") as caught:
        tune(_spec(), tiny_model, tiny_data, store, kill, processes=2)
    assert time.monotonic() - killed_at[0] < 20
    assert caught.value.where == f"process id {workers[1]}"
    assert "goes on from the newest checkpoint" in caught.value.mend
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    told: list[Event] = []
    made = tune(_spec(), tiny_model, tiny_data, store, told.append, processes=2)
    assert next(event.step for event in told if isinstance(event, Step)) in (4, 7)
    _assert_close(made, straight)


def test_torchrun_starts_the_same_run_and_the_first_process_alone_tells(
    tiny_store: Store, tiny_model: Artifact, tiny_data: Artifact, straight: Artifact, tmp_path: Path
) -> None:
    shutil.copytree(tiny_store.artifacts, tmp_path / "project" / "artifacts")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29731"),
        *("-m", "luthier", "--project", str(tmp_path / "project"), "tune", "--data", tiny_data.id, *SETTINGS),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(2):  # the second time it is there, and nobody waits for anybody
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.split() == [straight.id]
    assert done.stderr.count("is there already") <= 1
    made = Store(tmp_path / "project").find(straight.id)
    _assert_close(made, straight)
    assert made.card.figures["processes"] == 2


def test_verify_resume_proves_it_on_the_run_itself(tiny_model: Artifact, tiny_data: Artifact, store: Store) -> None:
    spec = _spec("adapter.dropout=0.2", "learn.epochs=2", "learn.tokens_per_pass=256")
    proof = verify_resume(spec, tiny_model, tiny_data, store, hush, steps=8, seed=3)
    assert proof.holds
    assert len(proof.straight) == 8
    assert 0 < proof.killed_after < 8
    assert proof.resumed_at <= proof.killed_after + 2
    assert any("optimizer.safetensors" in name for name in proof.checked_files)
    assert proof.lines()[-1] == "resume is exact"
    assert not list(store.work.iterdir())
