"""The verdict in plain words: the cheapest candidate that passes the gate, and what the best one would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.compare.candidate import Candidate, Way
from luthier.measure.gate import Verdict
from luthier.measure.interval import Comparison
from luthier.measure.metrics import metrics

ADVICE: Mapping[Way, str] = {
    "base": "The base model will do as it is: neither a better prompt, nor a knowledge base, nor tuning is needed.",
    "prompt": "A better prompt will do: neither a knowledge base nor tuning is needed.",
    "knowledge": "A knowledge base will do: no tuning is needed.",
    "tuned": "Fine-tuning is what it takes.",
    "both": "It takes both: fine-tuning and a knowledge base.",
    "other": "Another model will do.",
}
UNTUNED: tuple[Way, ...] = ("base", "prompt", "knowledge")
TUNED: tuple[Way, ...] = ("tuned", "both")


@dataclass(frozen=True)
class Weighed:
    """A candidate with what came of it."""

    candidate: Candidate
    table: Mapping[str, Any]
    """Its figures against the base (see `plain_table`)."""
    verdicts: Sequence[Verdict]
    """What the gate says."""
    cost: float
    """Seconds of a machine for one answer, its share of the making included."""
    costs: Mapping[str, float | None]
    """seconds, latency, tokens, memory_bytes, made_seconds."""

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(verdict.passed for verdict in self.verdicts)


def choose(weighed: Sequence[Weighed]) -> Weighed | None:
    """Give the cheapest that passes, None if none does."""
    return min((one for one in weighed if one.passed), key=lambda one: one.cost, default=None)


def best(weighed: Sequence[Weighed], metric: str) -> Weighed:
    """Give the one with the best figure."""
    sign = 1 if metrics()[metric].higher_is_better else -1
    return max(weighed, key=lambda one: sign * (_figure(one, metric, "after") or 0.0))


def in_words(
    weighed: Sequence[Weighed], chosen: Weighed | None, top: Weighed, beyond: Comparison | None, metric: str
) -> list[str]:
    """Give the verdict, a sentence a line. `beyond` holds the best against the chosen, where they are two."""
    label = metrics()[metric].label
    if chosen is None:
        lines = [f"Nothing passes the gate. The best is {top.candidate.label}, with {label} {_show(top, metric)}."]
        failed = [f"{verdict.rule} ({verdict.value})" for verdict in top.verdicts if not verdict.passed]
        return [*lines, f"What it misses: {'; '.join(failed)}."]
    passing = sum(one.passed for one in weighed)
    which = "the only one that passes" if passing == 1 else f"the cheapest of the {passing} that pass"
    plainer = min((one for one in weighed if one.passed and one.candidate.way in UNTUNED), key=_cost, default=None)
    is_only_cheaper = chosen.candidate.way in TUNED and plainer is not None
    lines = [
        "Fine-tuning is the cheapest way, not the only one." if is_only_cheaper else ADVICE[chosen.candidate.way],
        f"Take {chosen.candidate.label}: {which} the gate, of {len(weighed)} candidates. "
        f"{label} {_show(chosen, metric)}, {chosen.cost:.2f} s an answer.",
    ]
    if is_only_cheaper and plainer is not None:
        lines.append(
            f"Without tuning, {plainer.candidate.label} passes too: {label} {_show(plainer, metric)}, at "
            f"{_times(plainer, chosen)}."
        )
    if beyond is not None and beyond.gain > 0:  # as good, and dearer: nothing to say
        is_sure = beyond.low > 0
        lines.append(
            f"{top.candidate.label.capitalize()} is better by {beyond.gain:.4f} ({beyond.low:+.4f} to "
            f"{beyond.high:+.4f}), {'which is no luck' if is_sure else 'which may be luck'}, at {_times(top, chosen)}."
        )
    return lines


def _show(one: Weighed, metric: str) -> str:
    after, gain, low, high = (_figure(one, metric, name) for name in ("after", "gain", "low", "high"))
    text = "unknown" if after is None else f"{after:.4f}"
    if one.candidate.way == "base" or None in (gain, low, high):
        return text
    return f"{text}, {gain:+.4f} over the base ({low:+.4f} to {high:+.4f})"


def _cost(one: Weighed) -> float:
    return one.cost


def _times(one: Weighed, other: Weighed) -> str:
    if not other.cost:
        return "an unknown cost"
    return f"{one.cost / other.cost:.1f} times the cost"


def _figure(one: Weighed, metric: str, name: str) -> float | None:
    found: float | None = one.table["metrics"][metric][name]
    return found
