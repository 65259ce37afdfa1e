"""What one may ask, and what is refused before anything is loaded."""

import pytest

from luthier.errors import SpecError
from luthier.spec import make
from luthier.tune.spec import TuneSpec


@pytest.mark.parametrize("seed", ["-1", str(1 << 63)])
def test_a_seed_that_torch_or_numpy_refuses_is_refused_at_once(seed: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(TuneSpec, [f"seed={seed}"])
    assert caught.value.where == f"command line 'seed={seed}', key seed"
    assert caught.value.mend.startswith("it should be ")


def test_one_layer_is_a_list_of_one() -> None:
    assert make(TuneSpec, ["adapter.targets=q_proj"]) == make(TuneSpec, ["adapter.targets=[q_proj]"])
    assert make(TuneSpec, ["adapter.targets=all-linear"]) == TuneSpec()


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        make(TuneSpec, ["adapter.targets=[]"])
    assert caught.value.mend.startswith("it should have at least 1 item")


def test_an_amount_of_memory_that_is_none_is_refused_with_an_example() -> None:
    for amount in ("20GB", "1.5 gib", "700"):
        make(TuneSpec, ["device_map=auto", f"max_memory.cpu='{amount}'"])
    with pytest.raises(SpecError) as caught:
        make(TuneSpec, ["device_map=auto", "max_memory.cpu=lots"])
    assert caught.value.where == "command line 'max_memory.cpu=lots', key max_memory.cpu"
    assert caught.value.mend == "it should be bytes as people write them, such as 24GB or 500 MB"
