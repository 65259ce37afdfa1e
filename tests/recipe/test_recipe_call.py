"""Wiring: each role gets what the nearest earlier step made of its kind, or what `use` names."""

from collections.abc import Mapping

import pytest

from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, StoreError
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import hush
from luthier.prepare.spec import PrepareSpec
from luthier.recipe.call import wire
from luthier.recipe.stages import STAGES
from luthier.spec import Spec
from luthier.tune.spec import TuneSpec

HERE = "recipe.yaml:7, key tune"


def made(store: Store, kind: Kind, number: int = 1) -> Artifact:
    return store.make(Order(kind, "fetch", 1, {"number": number}), lambda out, work: {}, hush)


def wired(
    store: Store,
    steps: Mapping[str, Artifact],
    use: Mapping[str, str] | None = None,
    stage: str = "tune",
    spec: Spec | None = None,
) -> dict[str, Artifact | None]:
    return wire(STAGES[stage], spec or TuneSpec(), use or {}, steps, store, HERE)


def test_a_role_gets_the_nearest_earlier_artifact_of_its_kind(store: Store) -> None:
    far, near, rows = made(store, "model", 1), made(store, "model", 2), made(store, "examples")
    assert wired(store, {"far": far, "near": near, "rows": rows}) == {"model": near, "data": rows}


def test_the_kind_that_is_meant_comes_before_what_may_stand_in_its_place(store: Store) -> None:
    model, tuned, rows = made(store, "model"), made(store, "adapter"), made(store, "examples")
    found = wired(store, {"model": model, "rows": rows, "tune": tuned}, stage="evaluate", spec=EvaluateSpec())
    assert found == {"base": model, "tuned": tuned, "data": rows, "model": None}
    alone = wired(store, {"tune": tuned, "rows": rows}, stage="evaluate", spec=EvaluateSpec(alone=True))
    assert alone == {"base": None, "tuned": None, "data": rows, "model": tuned}


def test_use_names_a_step(store: Store) -> None:
    far, near, rows = made(store, "model", 1), made(store, "model", 2), made(store, "examples")
    assert wired(store, {"far": far, "near": near, "rows": rows}, {"model": "far"}) == {"model": far, "data": rows}


def test_use_names_an_artifact_in_the_store(store: Store) -> None:
    model, rows = made(store, "model"), made(store, "examples")
    assert wired(store, {"rows": rows}, {"model": model.id}) == {"model": model, "data": rows}


def test_roles_come_in_the_order_of_the_stage(store: Store) -> None:
    rows, model = made(store, "examples"), made(store, "model")
    assert list(wired(store, {"rows": rows, "model": model})) == ["model", "data"]


def test_an_input_that_is_not_wanted_is_none_unless_named(store: Store) -> None:
    model, rows = made(store, "model"), made(store, "rows")
    own = PrepareSpec(source="rows.jsonl")
    steps = {"model": model, "rows": rows}
    assert wired(store, steps, None, "prepare", own) == {"model": model, "rows": None}
    assert wired(store, steps, {"rows": "rows"}, "prepare", own) == {"model": model, "rows": rows}
    assert wired(store, steps, None, "prepare", PrepareSpec()) == {"model": model, "rows": rows}


def test_nothing_of_the_kind_is_told_with_what_to_do(store: Store) -> None:
    with pytest.raises(KindError) as caught:
        wired(store, {"model": made(store, "model")})
    assert caught.value.what == "no earlier step makes the 'examples' that 'data' must be"
    assert caught.value.where == HERE
    assert caught.value.mend == "put a step that makes one before it, or write `use: {data: ID}`"


def test_a_used_step_of_another_kind_is_told_with_those_that_fit(store: Store) -> None:
    model, rows = made(store, "model"), made(store, "examples")
    with pytest.raises(KindError) as caught:
        wired(store, {"base": model, "rows": rows}, {"model": "rows"})
    assert caught.value.what == "model is 'rows', of the kind 'examples', not 'model'"
    assert caught.value.where == HERE
    assert caught.value.mend == f"name a step or an artifact of the kind model: {model.id}"


def test_a_used_artifact_that_is_not_there_is_told(store: Store) -> None:
    with pytest.raises(StoreError, match="0 artifacts are called 'model-000000000000'") as caught:
        wired(store, {}, {"model": "model-000000000000"})
    assert caught.value.mend == "give the id as `luthier list` shows it"
