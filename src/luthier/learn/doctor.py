"""The doctor: watches a run's history and says in plain words what is wrong, and what would mend it.

Every rule is a row: what it sees, and its advice with the numbers seen. Each speaks once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from luthier.event import Tell, Warned, hush

Line = Mapping[str, float]
History = Sequence[Line]

SETTLED_STEPS = 20
"""Before so many steps, losses and gradients say little: warm-up, and rows of different kinds."""
WINDOW = 10
LOOKS_BACK = 1000


@dataclass(frozen=True)
class Advice:
    """What is wrong, with its numbers, and how to mend it."""

    what: str
    mend: str


def _exploding(history: History, steps: int) -> Advice | None:
    norms = [line["grad_norm"] for line in history]
    usual = median(norms[: -WINDOW // 2])
    recent = norms[-WINDOW // 2 :]
    if usual > 0 and sum(norm > 10 * usual for norm in recent) >= 3:
        return Advice(
            f"the gradients explode: their norm is {max(recent):.3g}, ten times the {usual:.3g} of the steps before",
            "lower learn.rate to a third, or raise learn.warmup_share",
        )
    return None


def _vanishing(history: History, steps: int) -> Advice | None:
    norms = [line["grad_norm"] for line in history]
    first, now = median(norms[:WINDOW]), median(norms[-WINDOW:])
    loss = _smoothed(history[-WINDOW:])
    if now < 1e-3 * first and loss > 0.1:
        return Advice(
            f"the gradients vanish: their norm fell from {first:.3g} to {now:.3g} while the loss is still {loss:.3g}",
            "raise learn.rate, compute in float32 (dtype=float32), or train more layers",
        )
    return None


def _not_moving(history: History, steps: int) -> Advice | None:
    if len(history) < max(2 * SETTLED_STEPS, steps // 2):
        return None
    first, now = _smoothed(history[:WINDOW]), _smoothed(history[-WINDOW:])
    if now > 0.99 * first:
        return Advice(
            f"the loss does not move: {first:.4g} over the first {WINDOW} steps, {now:.4g} over the last",
            "raise learn.rate three times, raise adapter.r, and look at what is learned: luthier prepare --look 3",
        )
    return None


def _diverging(history: History, steps: int) -> Advice | None:
    lowest = min(_smoothed(history[place : place + WINDOW]) for place in range(0, len(history) - WINDOW, WINDOW))
    now = _smoothed(history[-WINDOW:])
    if now > 1.5 * lowest and now - lowest > 0.5:
        return Advice(
            f"the loss rises: it was {lowest:.4g} and is {now:.4g}", "lower learn.rate to a third and begin anew"
        )
    return None


def _overfitting(history: History, steps: int) -> Advice | None:
    """Dev rises twice in a row above its best while train goes on falling."""
    dev = [(line["step"], line["dev_loss"]) for line in history if "dev_loss" in line]
    if len(dev) < 3:
        return None
    best_step, best = min(dev, key=lambda pair: pair[1])
    if not (dev[-1][1] > dev[-2][1] > best * 1.005 and dev[-1][1] > best * 1.01):
        return None
    at_best = [line for line in history if line["step"] <= best_step][-WINDOW:]
    if _smoothed(history[-WINDOW:]) < _smoothed(at_best):
        return Advice(
            f"it overfits: the dev loss rose from {best:.4g} (step {best_step:.0f}) to {dev[-1][1]:.4g} "
            "while the train loss fell",
            "lower adapter.r or learn.epochs, add rows, raise adapter.dropout or learn.weight_decay; "
            "learn.keep_best=true keeps the best step",
        )
    return None


def _memorising(history: History, steps: int) -> Advice | None:
    dev = [line["dev_loss"] for line in history if "dev_loss" in line]
    train = _smoothed(history[-WINDOW:])
    if train < 0.05 or (dev and history[-1]["epoch"] > 1 and train < 0.3 * dev[-1]):
        beside = f", the dev loss {dev[-1]:.4g}" if dev else ""
        return Advice(
            f"it learns rows by heart: the train loss is {train:.3g}{beside}",
            "lower learn.epochs; more rows teach more than more rounds",
        )
    return None


def _forgetting(history: History, steps: int) -> Advice | None:
    probes = [line["general_loss"] for line in history if "general_loss" in line]
    if len(probes) >= 2 and probes[-1] > probes[0] * 1.05 and probes[-1] - probes[0] > 0.05:
        return Advice(
            f"it forgets: the loss on general questions rose from {probes[0]:.4g} (the base) to {probes[-1]:.4g}",
            "mix general rows into the training data (prepare: sets, mix), lower learn.rate or learn.epochs",
        )
    return None


@dataclass(frozen=True)
class Rule:
    """One row: what to look for, from which step on."""

    look: Callable[[History, int], Advice | None]
    from_step: int
    about: str


RULES: dict[str, Rule] = {
    "exploding": Rule(_exploding, SETTLED_STEPS, "three of the last five gradients are ten times the usual"),
    "vanishing": Rule(_vanishing, SETTLED_STEPS, "gradients fell a thousandfold, the loss is above 0.1"),
    "not moving": Rule(_not_moving, 2 * SETTLED_STEPS, "half the run is done and the loss fell by less than 1 %"),
    "diverging": Rule(_diverging, 2 * SETTLED_STEPS, "the loss is half as high again as its lowest, and 0.5 nat more"),
    "overfitting": Rule(_overfitting, 3, "the dev loss rises twice in a row while the train loss falls"),
    "memorising": Rule(_memorising, SETTLED_STEPS, "the train loss is under 0.05, or under 0.3 of the dev loss"),
    "forgetting": Rule(_forgetting, 1, "the loss on general questions rose by 5 % and 0.05 nat"),
}


@dataclass
class Doctor:
    """Looks at a run after every step, and tells each finding once."""

    steps: int
    """How many the run will have."""
    tell: Tell
    said: dict[str, int] = field(default_factory=dict)
    """Finding -> the step at which it was told."""

    def look(self, history: History) -> None:
        """Look at the history so far, its last line new; past a hundred steps only at every tenth."""
        step = int(history[-1]["step"])
        if step > 100 and step % 10 and step != self.steps:
            return
        # the beginning and the recent past: a look must not cost more the longer a run is
        seen = history if len(history) <= LOOKS_BACK else [*history[:WINDOW], *history[-LOOKS_BACK:]]
        for name, rule in RULES.items():
            if name in self.said or len(history) < rule.from_step:
                continue
            advice = rule.look(seen, self.steps)
            if advice is not None:
                self.said[name] = step
                self.tell(Warned(f"step {step}: {advice.what}", advice.mend))

    def recall(self, history: History) -> None:
        """Remember what was told before a stop, so that it is not told again."""
        silent = Doctor(self.steps, hush, self.said)
        for count in range(1, len(history) + 1):
            silent.look(history[:count])


def _smoothed(lines: History) -> float:
    return sum(line["loss"] for line in lines) / len(lines)
