"""The gate: every rule judged by the figures of an evaluation.

A figure that is missing or not a number fails its rule: what is not known is not passed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.errors import SpecError
from luthier.measure.task import HELDOUT, nearest
from luthier.release.rule import COMPARISONS, FIELDS, Figures, Parts, Rule, parse


@dataclass(frozen=True)
class Verdict:
    """A rule with what came of it."""

    rule: str
    value: str
    """Both sides in figures, then every name with its figure."""
    passed: bool


def judge(rules: Sequence[str], scores: Mapping[str, Any]) -> list[Verdict]:
    """Judge every rule by the scores of an evaluation ({tag: {"metrics": {metric: figures}}}).

    Raises SpecError for a name that the scores do not hold.
    """
    figures = flatten(scores)
    return [_judge(rule, figures) for rule in map(parse, rules)]


def flatten(scores: Mapping[str, Any]) -> dict[Parts, float | None]:
    """Give every figure under its name in parts, those of the held-out rows under the short name too."""
    flat: dict[Parts, float | None] = {}
    for tag, table in scores.items():
        for metric, found in table["metrics"].items():
            for field in FIELDS:
                flat[(tag, metric, *field)] = found[field[-1]]
                if tag == HELDOUT:
                    flat[(metric, *field)] = found[field[-1]]
    return flat


def _judge(rule: Rule, figures: Figures) -> Verdict:
    for name in rule.names():
        if name.parts not in figures:
            raise SpecError(
                f"the scores hold no {name.text!r}",
                where=f"rule {rule.text!r}, character {name.position}",
                mend=nearest(".".join(name.parts), [".".join(parts) for parts in figures]),
            )
    left, right = rule.left.value(figures), rule.right.value(figures)
    is_known = math.isfinite(left) and math.isfinite(right)
    named = dict.fromkeys(f"{name.text} = {_show(name.value(figures))}" for name in rule.names())
    value = f"{_show(left)} {rule.comparison} {_show(right)}" + (f" ({', '.join(named)})" if named else "")
    return Verdict(rule.text, value, is_known and COMPARISONS[rule.comparison](left, right))


def _show(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "unknown"
