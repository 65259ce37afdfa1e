"""The gate: every rule judged by the figures of an evaluation and of the model's certificate.

A figure that is missing or not a number fails its rule: what is not known is not passed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.errors import SpecError
from luthier.measure.rule import CERTIFICATE, COMPARISONS, Figures, Parts, Rule, parse
from luthier.measure.task import HELDOUT, nearest


@dataclass(frozen=True)
class Verdict:
    """A rule with what came of it."""

    rule: str
    value: str
    """Both sides in figures, then every name with its figure."""
    passed: bool


def judge(
    rules: Sequence[str], scores: Mapping[str, Any], certificate: Mapping[str, Any] | None = None
) -> list[Verdict]:
    """Judge every rule by the scores of an evaluation ({tag: {"metrics": {metric: figures}}}) and a certificate.

    Answers that no judge could judge fail a rule of their own, wherever there are any.
    Raises SpecError for a name that the scores do not hold.
    """
    figures = flatten(scores, certificate or {})
    return [*(_judge(rule, figures) for rule in map(parse, rules)), *_unjudged(scores)]


def flatten(scores: Mapping[str, Any], certificate: Mapping[str, Any]) -> dict[Parts, float | None]:
    """Give every figure under its name in parts, those of the held-out rows under the short name too."""
    flat: dict[Parts, float | None] = {}
    for tag, table in scores.items():
        for metric, found in table["metrics"].items():
            for field, value in _fields(found):
                flat[(tag, metric, *field)] = value
                if tag == HELDOUT:
                    flat[(metric, *field)] = value
    for name, value in certificate.items():
        if isinstance(value, bool | int | float | None):
            flat[(CERTIFICATE, name)] = None if value is None else float(value)
    return flat


def _fields(found: Mapping[str, float | None]) -> Iterator[tuple[Parts, float | None]]:
    """The fields of a metric before and after, or of one model by itself ({value, low, high})."""
    side = "gain"
    if "value" in found:
        side = "after"
        yield ("after",), found["value"]
    else:
        yield from (((name,), found[name]) for name in ("before", "after", "gain"))
    yield from (((side, end), found[end]) for end in ("low", "high"))


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
    named = dict.fromkeys(f"{name.text} = {show(name.value(figures))}" for name in rule.names())
    value = f"{show(left)} {rule.comparison} {show(right)}" + (f" ({', '.join(named)})" if named else "")
    return Verdict(rule.text, value, is_known and COMPARISONS[rule.comparison](left, right))


def _unjudged(scores: Mapping[str, Any]) -> Iterator[Verdict]:
    for tag, table in scores.items():
        counts = [(metric, count) for side in table.get("unjudged", {}).values() for metric, count in side.items()]
        if counts:
            told = ", ".join(f"{count} without {metric}" for metric, count in counts)
            passed = not any(count for _, count in counts)
            yield Verdict(f"every answer of {tag} was judged", f"{told}, of {table['rows']}", passed)


def show(value: float) -> str:
    """Write a figure in six digits."""
    return f"{value:.6g}" if math.isfinite(value) else "unknown"
