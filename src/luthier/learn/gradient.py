"""The gradient of a step, and the loss of rows that are only looked at, over all processes of the run.

Letters: B rows of a pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor, nn

from luthier.learn.distributed import Processes
from luthier.learn.objective import Objective, Row


@dataclass(frozen=True)
class Learned:
    """What the rows of a step came to."""

    loss: float
    """Mean over the supervised tokens of all rows, in nats."""
    sums: Sequence[float]
    """Each row's summed loss, in the order of the rows; empty unless asked for."""
    weights: Sequence[float]
    """What each of those sums is divided by."""


@dataclass(frozen=True)
class Step(Generic[Row]):
    """The rows of one step, with what their summed loss is divided by."""

    rows: Sequence[Row]
    weight: float


def learn_from(
    objective: Objective[Row],
    step: Step[Row],
    named: Mapping[str, nn.Parameter],
    processes: Processes,
    *,
    each: bool,
) -> Learned:
    """Leave the gradient of the mean loss of a step's rows in the parameters; `each`: note each row's loss too."""
    place = {id(row): number for number, row in enumerate(step.rows)}
    mine = processes.deal(step.rows, objective.tokens)
    total = 0.0
    sums = [0.0] * (len(step.rows) if each else 0)
    for part, counts in processes.even(list(objective.passes(mine)) if mine else [], step.rows[:1]):
        found = processes.within(lambda part=part: objective.losses(part) if each else objective.loss(part))  # type: ignore[misc]
        loss = found.sum() if each else found
        torch.autograd.backward(loss / step.weight if counts else loss * 0.0)
        if not counts:
            continue
        total += float(loss.detach()) / step.weight
        if each:
            _note(sums, found, [place[id(row)] for row in part])
    processes.sum_gradients(named.values())
    total, *sums = processes.sum([total, *sums])
    weights = [objective.weight([row]) for row in step.rows] if each else []
    return Learned(total, sums, weights)


def _note(sums: list[float], found_B: Tensor, places: Sequence[int]) -> None:
    for place, number in zip(places, found_B.detach().tolist(), strict=True):
        sums[place] = number


def mean_loss(objective: Objective[Row], rows: Sequence[Row], processes: Processes) -> float:
    """Give the mean loss over the supervised tokens of rows, in nats; nothing is learned."""
    mine = processes.deal(rows, objective.tokens)
    total = 0.0
    with torch.no_grad():
        for part, counts in processes.even(list(objective.passes(mine)) if mine else [], rows[:1]):
            loss = float(processes.within(lambda part=part: objective.loss(part)))  # type: ignore[misc]
            total += loss if counts else 0.0
    processes.rest()
    [total] = processes.sum([total])
    return total / max(1, objective.weight(rows))


def clip(named: Mapping[str, nn.Parameter], longest: float) -> float:
    """Scale a gradient that is too long down to `longest`. Gives its length, before that, over all parameters."""
    norm = torch.nn.utils.clip_grad_norm_(named.values(), longest)
    whole = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return float(whole)
