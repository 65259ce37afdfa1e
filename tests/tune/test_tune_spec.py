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
