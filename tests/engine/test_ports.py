"""What a request may wish for, and what is said to a wish that an engine does not know."""

from dataclasses import fields

import pytest

from luthier.artifact.store import Artifact
from luthier.engine.local import LocalModel, open_local
from luthier.engine.ports import ALWAYS_TAKEN, Closing, Concurrent, Sampling, Spelled, check_takes, streams_at_once
from luthier.errors import DataError


@pytest.fixture(scope="module")
def model(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


def test_what_every_engine_heeds_is_a_part_of_what_may_be_asked() -> None:
    assert {wish.name for wish in fields(Sampling)} > ALWAYS_TAKEN


def test_a_wish_the_engine_knows_passes(model: LocalModel) -> None:
    check_takes(model, Sampling(max_tokens=3, temperature=0.5, stop=("x",), seed=1))


class Plain:
    """A model that heeds only what every engine does."""

    name = "plain"
    takes = ALWAYS_TAKEN


def test_a_wish_the_engine_does_not_know_is_refused_and_both_are_named() -> None:
    with pytest.raises(DataError) as caught:
        check_takes(Plain(), Sampling(max_seconds=2.5))  # type: ignore[arg-type]
    assert caught.value.what == "max_seconds is 2.5, which the engine of 'plain' does not know"
    assert caught.value.where == "key max_seconds"
    assert "seed" in caught.value.mend


class Wide(Plain):
    """A model that answers several at once."""

    at_once = 5


def test_a_model_that_does_not_say_otherwise_is_asked_one_at_a_time(model: LocalModel) -> None:
    assert streams_at_once(model) == 1
    assert streams_at_once(Wide()) == 5  # type: ignore[arg-type]
    assert not isinstance(model, Concurrent | Closing)


def test_a_local_model_counts_and_spells(model: LocalModel) -> None:
    assert isinstance(model, Spelled)
    text = "Grüße, 天气 🙂\n"
    ids = model.encode(text)
    assert ids == model.encode(ids)
    assert b"".join(model.spell(ids)) == text.encode()
    assert model.spell([2]) == [str(model.template.tokenizer.convert_ids_to_tokens(2)).encode()]
    assert model.vocabulary > max(ids)
