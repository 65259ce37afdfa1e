"""Settings that do not go together are refused before the run, each pair with its reason and a mend."""

import pytest

from luthier.errors import SpecError
from luthier.learn.optimizer import OPTIMIZERS
from luthier.learn.schedule import SHAPES
from luthier.model import quantized
from luthier.model.machine import DEVICES
from luthier.model.methods import METHODS
from luthier.spec import make
from luthier.tune.incompatible import INCOMPATIBLE, Pair, check
from luthier.tune.spec import AdapterSpec, LearnSpec, TuneSpec


@pytest.mark.parametrize("pair", INCOMPATIBLE, ids=lambda pair: f"{pair.first_values[0]}-{pair.second_values[0]}")
def test_every_pair_is_refused_with_its_reason_and_mend(pair: Pair) -> None:
    for first in pair.first_values:
        for second in pair.second_values:
            spec = make(TuneSpec, [f"{pair.first}={first}", f"{pair.second}={second}"])
            with pytest.raises(SpecError) as caught:
                check(spec)
            assert pair.why in caught.value.what
            assert caught.value.where == f"key {pair.first}"
            assert caught.value.mend == pair.mend


def test_an_optimizer_that_works_on_some_devices_only_is_refused_on_every_other() -> None:
    bound = {name: row.devices for name, row in OPTIMIZERS.items() if row.devices}
    assert bound
    for name, able in bound.items():
        for device in ("cpu", *DEVICES):
            spec = make(TuneSpec, [f"learn.optimizer={name}"])
            if device in able:
                check(spec, device)
                continue
            with pytest.raises(SpecError, match=f"learn.optimizer={name} and device={device} do not go together"):
                check(spec, device)


def test_the_defaults_and_each_method_alone_go_together() -> None:
    check(TuneSpec())
    for kind in METHODS:
        check(make(TuneSpec, [f"adapter.kind={kind}"]))


def test_what_may_be_asked_is_what_the_tables_hold() -> None:
    def choices(spec: type[AdapterSpec] | type[LearnSpec] | type[TuneSpec], name: str) -> set[str]:
        return set(spec.model_fields[name].annotation.__args__)  # type: ignore[union-attr]

    assert choices(AdapterSpec, "kind") == set(METHODS)
    assert choices(LearnSpec, "optimizer") == set(OPTIMIZERS)
    assert choices(LearnSpec, "schedule") == set(SHAPES)
    assert choices(TuneSpec, "quantize") == {"none", *quantized.KINDS}


@pytest.mark.parametrize(
    ("device", "name", "mend"),
    [
        ("cpu", "cup", "did you mean 'cpu'? with device=cpu the places are cpu; what is left lies on disk"),
        ("cpu", "cuda", "with device=cpu the places are cpu; what is left lies on disk"),
        ("cpu", "cpu:0", "did you mean 'cpu'? with device=cpu the places are cpu; what is left lies on disk"),
        (
            "cuda",
            "cdua:1",
            "did you mean 'cuda'? with device=cuda the places are cuda and cpu; what is left lies on disk",
        ),
        ("cuda", "disk", "with device=cuda the places are cuda and cpu; what is left lies on disk"),
    ],
)
def test_a_place_that_no_weights_can_lie_in_is_refused_with_the_nearest(device: str, name: str, mend: str) -> None:
    spec = make(TuneSpec, ["device_map=auto", f"max_memory.{name}=700KB"])
    with pytest.raises(SpecError, match=f"max_memory names '{name}'") as caught:
        check(spec, device)
    assert caught.value.where == f"key max_memory.{name}"
    assert caught.value.mend == mend


def test_places_of_the_run_are_taken_and_without_a_map_none_is() -> None:
    for device, names in {"cpu": ["cpu"], "cuda": ["cuda", "cuda:1", "cpu"], "mps": ["mps", "cpu"]}.items():
        check(make(TuneSpec, ["device_map=auto", *(f"max_memory.{name}=1GB" for name in names)]), device)
    with pytest.raises(SpecError, match="changes nothing without device_map=auto") as caught:
        check(make(TuneSpec, ["max_memory.cpu=1GB"]), "cpu")
    assert (caught.value.where, caught.value.mend) == (
        "key max_memory",
        "set device_map=auto, or leave max_memory out",
    )
