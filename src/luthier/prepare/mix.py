"""Several sets as one training split: how often each set is gone through."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luthier.prepare.spec import MixSpec

Ints = npt.NDArray[np.int64]
MANY_EPOCHS = 4
"""Repeating data more often gains little (Muennighoff et al. 2023, arXiv:2305.16264, section 6)."""


@dataclass(frozen=True)
class Portion:
    """One set's part in the training split."""

    name: str
    rows: int
    """Different training rows that it has."""
    taken: int
    """Rows that it gives, repeated ones counted each time."""

    @property
    def epochs(self) -> float:
        """How often it is gone through."""
        return self.taken / self.rows if self.rows else 0.0


def portions(names: Sequence[str], rows: Sequence[int], weights: Sequence[float], spec: MixSpec) -> list[Portion]:
    """Say how many rows each set gives.

    Shares go by the sets' weights, or by rows ** (1 / temperature) (Devlin et al. 2019, multilingual BERT; Conneau et
    al. 2020, arXiv:1911.02116, section 3.1). A set without rows gives none, and the others share its part.
    """
    sizes = np.asarray(rows, np.float64)
    if spec.by == "rows":
        return [Portion(*each, taken=each[1]) for each in zip(names, rows, strict=True)]
    shares = np.asarray(weights, np.float64) if spec.by == "weight" else sizes ** (1 / spec.temperature)
    shares = np.where(sizes > 0, shares, 0.0)
    used_up = np.divide(sizes, shares, out=np.full(len(sizes), np.nan), where=shares > 0)
    total = 0.0 if np.all(np.isnan(used_up)) else (np.nanmin if spec.until == "first" else np.nanmax)(used_up)
    taken = np.rint(total * shares).astype(int).tolist()
    return [Portion(name, count, most) for name, count, most in zip(names, rows, taken, strict=True)]


def interleaved(ordered: Ints, set_of: Ints, plan: Sequence[Portion]) -> Ints:
    """Repeat or thin out rows, given in the stable order with the set of each, as the plan says.

    Each set's rows come one epoch after the other; the sets are dealt out in proportion, so that any beginning of
    the whole is mixed like the whole. Gives rows, repeated ones as often as they are taken.
    """
    rows: list[Ints] = []
    progress: list[npt.NDArray[np.float64]] = []
    for number, portion in enumerate(plan):
        own = ordered[set_of == number]
        if not len(own) or not portion.taken:
            continue
        rows.append(np.resize(own, portion.taken))
        progress.append((np.arange(portion.taken) + 0.5) / portion.taken)
    if not rows:
        return np.zeros(0, np.int64)
    return np.concatenate(rows)[np.argsort(np.concatenate(progress), kind="stable")]
