"""What a run computes, known before it begins: its steps, its tokens, and the rows of its largest step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.tune.spec import TuneSpec

ASSUMED_ROW_TOKENS = 512
"""Length of a row where no data is given: the usual bound."""
ASSUMED_SUPERVISED_SHARE = 0.5
MOST_EPOCHS = 10
"""Later epochs have other orders, and hardly a larger step."""


@dataclass(frozen=True)
class Load:
    """What is computed."""

    largest: Sequence[Tokens]
    """The rows of the step with most tokens in a pass."""
    longest: Tokens
    """The longest row: the largest pass where rows are not packed."""
    dev: Sequence[Tokens]
    rows: int | None
    """Training rows; None: no data was given, sizes are assumed."""
    tokens_per_step: float
    supervised_per_step: float
    steps: int | None
    attended_per_step: float
    """Pairs of tokens that attend to each other: the sum of squared lengths, halved."""
    outputs: int = 0
    """Classes to tell apart; 0: text is learned."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """From the data's card: rows read and kept, dropped and truncated."""


def load_of(spec: TuneSpec, data: Artifact | None, devices: int = 1) -> Load:
    """Read from a set's token files what a run on it will compute; without data, assume rows of 512 tokens.

    Each of several devices gets its part of a step's rows.
    """
    whole = _assumed(spec) if data is None else _known(spec, data)
    if devices == 1:
        return whole
    dealt = sorted(whole.largest, key=lambda row: -len(row.ids))[::devices]
    return replace(whole, largest=dealt, dev=whole.dev[::devices] or whole.dev)


def _known(spec: TuneSpec, data: Artifact) -> Load:
    rows = read_tokens(data.folder, "train")
    lengths = rows.lengths.astype(np.int64)
    learning = spec.learn
    steps_per_epoch = max(1, math.ceil(len(rows) / learning.rows_per_step))
    figures = data.card.figures
    supervised = float(figures.get("supervised", {}).get("train", 0))
    mean = 1.0 / steps_per_epoch
    return Load(
        largest=[rows[int(place)] for place in _largest_step(lengths, spec)],
        longest=rows[int(lengths.argmax())],
        dev=list(read_tokens(data.folder, "dev")[:4096]),
        rows=len(rows),
        tokens_per_step=float(lengths.sum()) * mean,
        supervised_per_step=supervised * mean,
        steps=max(1, math.ceil(learning.epochs * steps_per_epoch)),
        attended_per_step=float((lengths**2).sum()) / 2 * mean,
        outputs=_outputs(figures),
        notes={name: figures[name] for name in ("rows", "dropped", "truncated") if name in figures},
    )


def _largest_step(lengths: npt.NDArray[np.int64], spec: TuneSpec) -> npt.NDArray[np.int64]:
    """Give the places of the rows of the step whose largest pass holds most tokens; the order is the loop's own."""
    learning, best, found = spec.learn, -1.0, np.arange(0)
    for epoch in range(min(MOST_EPOCHS, math.ceil(learning.epochs))):
        order = np.random.default_rng([spec.seed, epoch]).permutation(len(lengths))
        starts = np.arange(0, len(order), learning.rows_per_step)
        totals = np.add.reduceat(lengths[order], starts)
        passes = np.ceil(totals / learning.tokens_per_pass)
        sizes = np.maximum(np.maximum.reduceat(lengths[order], starts), totals / passes)
        place = int(sizes.argmax())
        if sizes[place] > best:
            best, found = float(sizes[place]), order[starts[place] : starts[place] + learning.rows_per_step]
    return found


def _outputs(figures: Mapping[str, Any]) -> int:
    if figures.get("task") != "classification":
        return 0
    return max(1, len(figures.get("labels", {}).get("names", ())))


def _assumed(spec: TuneSpec) -> Load:
    learning = spec.learn
    length = min(ASSUMED_ROW_TOKENS, learning.tokens_per_pass)
    row = _row(length)
    tokens = float(learning.rows_per_step * length)
    return Load(
        largest=[row] * learning.rows_per_step,
        longest=row,
        dev=[row] * max(1, learning.tokens_per_pass // length),
        rows=None,
        tokens_per_step=tokens,
        supervised_per_step=tokens * ASSUMED_SUPERVISED_SHARE,
        steps=None,
        attended_per_step=tokens * length / 2,
    )


def _row(length: int) -> Tokens:
    mask = np.arange(length) >= length * (1 - ASSUMED_SUPERVISED_SHARE)
    return Tokens(np.arange(length, dtype=np.int32) % 1000 + np.int32(1), mask)
