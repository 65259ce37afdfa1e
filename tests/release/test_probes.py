"""Certificates and forgetting: what is on the card decides, and what is not known fails."""

import json
from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError
from luthier.event import hush
from luthier.release.probes import certificate_verdict, forgetting_verdict


def made(
    store: Store,
    kind: Kind,
    figures: Mapping[str, Any],
    stage: str = "test",
    losses: tuple[float, ...] = (),
    **inputs: str,
) -> Artifact:
    def build(out: Path, work: Path) -> Mapping[str, Any]:
        lines = [json.dumps({"step": step, "general_loss": loss}) for step, loss in enumerate(losses)]
        (out / "history.jsonl").write_text("\n".join([*lines, '{"step": 9}']), encoding="utf-8")
        return figures

    return store.make(Order(kind, stage, 1, {"losses": list(losses), **figures}, inputs), build, hush)


@pytest.mark.parametrize(
    ("stage", "wanted", "figures", "passed"),
    [
        ("tune", None, {}, []),
        ("tune", True, {}, [False]),
        ("merge", None, {}, [False]),
        ("quantize", None, {}, [False]),
        ("quantize", False, {}, []),
        ("quantize", None, {"certificate": {"passed": True, "kl": 0.01}}, [True]),
        ("quantize", None, {"certificate": {"passed": False, "kl": 1.5}}, [False]),
        ("quantize", None, {"certificate": {"kl": 0.01}}, [False]),
        ("tune", None, {"certificate": {"passed": False}}, [False]),
    ],
)
def test_what_was_converted_must_carry_a_certificate_that_passed(
    stage: str, wanted: bool | None, figures: Mapping[str, Any], passed: list[bool], store: Store
) -> None:
    verdicts = certificate_verdict(wanted, made(store, "model", figures, stage))
    assert [verdict.passed for verdict in verdicts] == passed


def test_a_certificates_figures_are_shown(store: Store) -> None:
    tuned = made(store, "model", {"certificate": {"passed": True, "kl": 0.01, "agreement": 0.998}}, "merge")
    assert certificate_verdict(None, tuned)[0].value == "agreement = 0.998, kl = 0.01"


@pytest.mark.parametrize(("most", "passed"), [(0.2, True), (0.1, False)])
def test_forgetting_is_judged_at_the_worse_end_of_the_interval(most: float, passed: bool, store: Store) -> None:
    tuned = made(store, "adapter", {})
    # perplexity 10 before; at worst 1.5 more, which is 15 %
    found = {"before": 10.0, "after": 10.5, "gain": -0.5, "low": -1.5, "high": 0.4}
    general = made(store, "scores", {"heldout": {"rows": 9, "metrics": {"perplexity": found}}}, tuned=tuned.id)
    verdict = forgetting_verdict(most, tuned, general)
    assert verdict.passed is passed
    assert f"perplexity 10 before, at the worse end of its interval +15.0% worse ({general.id})" in verdict.value


def test_forgetting_that_is_not_known_fails(store: Store) -> None:
    tuned = made(store, "adapter", {})
    found = {"before": 10.0, "after": 9.0, "gain": 1.0, "low": None, "high": None}
    general = made(store, "scores", {"heldout": {"rows": 1, "metrics": {"perplexity": found}}}, tuned=tuned.id)
    assert not forgetting_verdict(9.0, tuned, general).passed


@pytest.mark.parametrize(("most", "passed"), [(0.26, True), (0.24, False)])
def test_without_scores_the_loss_on_general_questions_counts(most: float, passed: bool, store: Store) -> None:
    tuned = made(store, "adapter", {}, losses=(2.0, 1.0, 2.0 + log(1.25)))
    verdict = forgetting_verdict(most, tuned, None)
    assert verdict.passed is passed
    assert "perplexity of general questions +25.0% while it was tuned" in verdict.value


def test_forgetting_of_which_nothing_is_known_is_an_error_with_a_mend(store: Store) -> None:
    with pytest.raises(SpecError) as caught:
        forgetting_verdict(0.1, made(store, "model", {}), None)
    assert caught.value.where == "key release.forgetting"
    assert "--general ID" in caught.value.mend


def test_general_scores_of_another_model_are_refused(store: Store) -> None:
    general = made(store, "scores", {"heldout": {"metrics": {}}}, tuned="adapter-0")
    with pytest.raises(KindError) as caught:
        forgetting_verdict(0.1, made(store, "adapter", {}), general)
    assert caught.value.where == "input 'general'"
    assert "beside its base on general rows" in caught.value.mend
