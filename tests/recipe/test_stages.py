"""The table of stages: every row has its two doors, and they fit together."""

import inspect
from typing import get_args

import pytest

from luthier.artifact.order import Kind
from luthier.recipe.stages import STAGES
from luthier.spec import Spec


def test_there_are_stages() -> None:
    assert list(STAGES) == [
        "fetch",
        "index",
        "prepare",
        "tune",
        "answer",
        "evaluate",
        "merge",
        "quantize",
        "act",
        "compare",
        "release",
    ]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_takes_its_inputs_in_the_order_of_its_roles(name: str) -> None:
    stage = STAGES[name]
    wanted = ["spec", *stage.takes, "store", "tell", *(["open_model"] if stage.opens else [])]
    assert list(inspect.signature(stage.function()).parameters)[: len(wanted)] == wanted


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_opens_its_own_spec(name: str) -> None:
    stage = STAGES[name]
    assert issubclass(stage.spec_class(), Spec)
    assert inspect.signature(stage.function()).parameters["spec"].annotation is stage.spec_class()
    assert not stage.first or stage.first in stage.spec_class().model_fields
    assert {wanted.kind for wanted in stage.takes.values()} <= set(get_args(Kind))
