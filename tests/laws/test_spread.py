"""A model whose layers lie in several places learns what a model in one place learns, in less memory of its own."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from luthier.artifact.store import Artifact, Store
from luthier.errors import RoomError, SpecError
from luthier.event import Chose, Event, hush
from luthier.spec import make
from luthier.tune.plan import make_plan
from luthier.tune.plan_place import Place
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

SHORT = (
    "adapter.r=4",
    "learn.epochs=0.5",
    "learn.dev_every_steps=2",
    "learn.compile=off",
    "dtype=float32",
    "device=cpu",
    "track=[]",
    "general_probe=false",
)
SPREAD = ("device_map=auto", "max_memory.cpu=700KB")
"""Embeddings and one of the two layers take 658 KB, so the other lies on disk."""


@pytest.mark.parametrize("kind", ["lora", "adalora", "ia3", "prompt"])
def test_spread_over_memory_and_disk_is_straight(
    kind: str, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    made: list[Artifact] = []
    told: list[Event] = []
    for more in ((), SPREAD):
        spec = make(TuneSpec, [*SHORT, f"adapter.kind={kind}", *more])
        made.append(tune(spec, tiny_model, tiny_data, Store(tmp_path / str(len(made))), told.append))
    whole, spread = (load_file(artifact.folder / "adapter_model.safetensors") for artifact in made)
    assert whole.keys() == spread.keys()
    assert all((whole[name] - spread[name]).abs().max() < 1e-4 for name in whole)
    for figure in ("first_loss", "last_loss", "trained_parameters"):
        assert made[1].card.figures[figure] == pytest.approx(made[0].card.figures[figure], abs=1e-4)
    [layers] = [event for event in told if isinstance(event, Chose) and event.what == "layers"]
    assert layers.value == "1 on cpu, 1 on disk"


def test_a_place_without_room_for_the_head_is_told_before_the_run(
    tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    with pytest.raises(RoomError, match="embeddings and head take") as caught:
        tune(make(TuneSpec, [*SHORT, "device_map=auto", "max_memory.cpu=1KB"]), tiny_model, tiny_data, store, hush)
    assert caught.value.where == "key device_map"


def test_ways_that_need_the_weights_at_hand_are_refused(
    tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    with pytest.raises(SpecError, match=r"adapter\.kind=dora and device_map=auto do not go together"):
        tune(make(TuneSpec, [*SHORT, "adapter.kind=dora", *SPREAD]), tiny_model, tiny_data, store, hush)


def test_a_place_that_is_not_one_is_refused_before_the_run(
    tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    spec = make(TuneSpec, [*SHORT, "device_map=auto", "max_memory.cup=700KB"])
    with pytest.raises(SpecError, match="max_memory names 'cup'"):
        tune(spec, tiny_model, tiny_data, store, hush)
    assert not store.root.exists()


def test_several_processes_are_refused(tiny_model: Artifact, tiny_data: Artifact, store: Store) -> None:
    with pytest.raises(SpecError, match="device_map=auto gives one process all devices") as caught:
        tune(make(TuneSpec, [*SHORT, *SPREAD]), tiny_model, tiny_data, store, hush, processes=2)
    assert "learn.shard=full" in caught.value.mend


def test_a_plan_counts_only_the_weights_that_lie_on_the_device(tiny_model: Artifact, tiny_data: Artifact) -> None:
    place = Place("cpu", "here", 10**9, 1e9)
    specs = [make(TuneSpec, [*SHORT, *more]) for more in ((), SPREAD)]
    whole, spread = (make_plan(spec, tiny_model.folder, place, tiny_data, "float32").memory.terms for spec in specs)
    assert whole["weights"] == 4 * 207_680
    assert spread["weights"] == 700_000
    assert spread["activations"] < whole["activations"]
