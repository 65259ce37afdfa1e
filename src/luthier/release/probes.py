"""What a model must not have lost: its certificate, what it knew in general, and what the model in service can do."""

import json
import math
from typing import Any

from luthier.artifact.store import Artifact
from luthier.errors import KindError, SpecError
from luthier.measure.gate import Verdict, show
from luthier.measure.rule import CERTIFICATE
from luthier.measure.task import HELDOUT

CONVERTED = frozenset({"merge", "quantize"})
"""Stages whose models are another's weights in another form: a certificate says that they still answer alike."""


def certificate_verdict(wanted: bool | None, tuned: Artifact) -> list[Verdict]:
    """Judge the certificate on a model's card, where one is wanted."""
    found = tuned.card.figures.get(CERTIFICATE)
    if wanted is False or (wanted is None and tuned.order.stage not in CONVERTED and found is None):
        return []
    rule = f"{tuned.id} carries a certificate that passed"
    if found is None:
        return [Verdict(rule, f"its card has none; it was made by {tuned.order.stage}", False)]
    figures = [f"{name} = {show(value)}" for name, value in found.items() if _is_number(value)]
    return [Verdict(rule, ", ".join(figures) or "no figures", found.get("passed") is True)]


def forgetting_verdict(most: float, tuned: Artifact, general: Artifact | None) -> Verdict:
    """Judge what was forgotten: by the scores of a general task, else by the loss on general questions in tuning.

    Raises SpecError if neither is there, KindError if the scores are not of this model beside its base.
    """
    rule = f"general abilities get worse by at most {most:.1%}"
    if general is None:
        return _by_history(rule, most, tuned)
    if general.order.inputs.get("tuned") != tuned.id:
        raise KindError(
            f"{general.id} holds the scores of {general.order.inputs.get('tuned')}, not of {tuned.id}",
            where="input 'general'",
            mend=f"evaluate {tuned.id} beside its base on general rows, and give those scores",
        )
    tables = {tag: table for tag, table in general.card.figures.items() if isinstance(table, dict)}
    metric, found = next(iter(tables.get(HELDOUT, next(iter(tables.values())))["metrics"].items()))
    before, low = found["before"], found["low"]
    loss = math.nan if None in (before, low) or not before else -low / abs(before)
    value = (
        f"{metric} {show(_number(before))} before, at the worse end of its interval {loss:+.1%} worse ({general.id})"
    )
    return Verdict(rule, value, loss <= most)


def _by_history(rule: str, most: float, tuned: Artifact) -> Verdict:
    path = tuned.folder / "history.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    losses = [line["general_loss"] for line in map(json.loads, text.splitlines()) if "general_loss" in line]
    if len(losses) < 2:
        raise SpecError(
            f"nothing says what {tuned.id} has forgotten",
            where="key release.forgetting",
            mend="evaluate it beside its base on general rows and give those scores (--general ID)",
        )
    rise = math.exp(losses[-1] - losses[0]) - 1
    value = f"perplexity of general questions {rise:+.1%} while it was tuned (loss {losses[0]:.4f} to {losses[-1]:.4f})"
    return Verdict(rule, value, rise <= most)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
