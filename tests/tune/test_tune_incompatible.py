"""Settings that do not go together are refused before the run, each pair with its reason and a mend."""

import pytest

from luthier.errors import SpecError
from luthier.learn.optimizer import OPTIMIZERS
from luthier.learn.schedule import SHAPES
from luthier.model import quantized
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
