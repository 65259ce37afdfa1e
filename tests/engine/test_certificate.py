"""A certificate passes or is refused by its bounds, and says by which."""

from typing import Any

import pytest

from luthier.engine.certificate import EIGHT_BITS, EXACT, pass_or_refuse
from luthier.engine.probe import ROW_TOKENS, probes, reference_bytes
from luthier.errors import GateError
from luthier.event import Event, Judged, Warned, hush

GOOD: dict[str, Any] = {
    "against": "model-1",
    "max_logit_difference": 1e-5,
    "kl": 1e-9,
    "agreement": 1.0,
    "near_agreement": 1.0,
    "perplexity": 20.0,
    "reference_perplexity": 20.0,
    "told_difference": None,
    "tokens_per_second": 9.0,
    "template_parity": True,
}


def judge(figures: dict[str, Any], *, refuse: bool = True) -> dict[str, Any]:
    return pass_or_refuse("q8", figures, EIGHT_BITS, refuse=refuse, where="here", mend="make kind=f32", tell=hush)


def test_what_is_alike_passes() -> None:
    assert EXACT.faults(GOOD) == []
    assert judge(GOOD)["passed"] is True


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("kl", 0.5, "kl is 0.5"),
        ("kl", float("nan"), "kl is nan"),
        ("near_agreement", 0.5, "near_agreement is 0.500"),
        ("perplexity", 30.0, "perplexity is 1.500 times"),
        ("perplexity", float("nan"), "perplexity is nan"),
        ("told_difference", 0.3, "told_difference is 0.3, more than 0.1"),
        ("told_difference", float("nan"), "told_difference is nan"),
        ("template_parity", False, "token ids"),
    ],
)
def test_what_is_too_unlike_is_refused_with_the_better_choice(name: str, value: Any, says: str) -> None:
    with pytest.raises(GateError) as caught:
        judge({**GOOD, name: value})
    assert says in caught.value.what
    assert caught.value.where == "here"
    assert "make kind=f32" in caught.value.mend
    assert "refuse=false" in caught.value.mend


def test_what_is_kept_all_the_same_says_that_it_did_not_pass() -> None:
    told: list[Event] = []
    bad = {**GOOD, "kl": 0.5}
    made = pass_or_refuse("q8", bad, EIGHT_BITS, refuse=False, where="here", mend="make kind=f32", tell=told.append)
    assert made["passed"] is False
    assert made["faults"] == ["kl is 0.5, more than 0.02 nats per token"]
    assert [type(event) for event in told] == [Judged, Warned]


def test_there_are_probes() -> None:
    assert len(probes()["questions"]) > 5
    assert len(probes()["passages"]) > 2


def test_the_disk_of_a_reference_is_a_float32_for_each_token_id_at_each_place() -> None:
    assert reference_bytes(49_152) == (8 + 3 + 8) * ROW_TOKENS * 49_152 * 4
