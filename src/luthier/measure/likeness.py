"""How like two models are, from their logits at the same places. Letters: T places, V vocabulary."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
TIE_NATS = 0.1
"""The likeliest token of one model that the other holds nearly as likely as its own: rounding may turn such a pair."""
PLACES_AT_ONCE = 64
"""Bounds the float64 tables: 25 MB at a vocabulary of 49,152."""


@dataclass
class Likeness:
    """Figures of one model (`other`) beside another (`reference`), gathered row by row."""

    places: int = 0
    agreed: int = 0
    nearly: int = 0
    kl: list[float] = field(default_factory=list)
    """Per place, in nats: sum over the vocabulary of p log(p / q), p the reference's."""
    max_difference: float = 0.0
    surprise: list[float] = field(default_factory=list)
    """-log q of each target that counts, and below, -log p."""
    reference_surprise: list[float] = field(default_factory=list)

    def add(self, reference_TV: Floats, other_TV: Floats, targets_T: npt.NDArray[np.int64]) -> None:
        """Take in one row's logits; `targets_T` are the tokens that follow, -1 where none counts.

        A padded head may be wider in one of them: the ids both have are compared.
        """
        width = min(reference_TV.shape[1], other_TV.shape[1])
        for begin in range(0, len(targets_T), PLACES_AT_ONCE):
            part = slice(begin, begin + PLACES_AT_ONCE)
            self._add(
                reference_TV[part, :width].astype(np.float64),
                other_TV[part, :width].astype(np.float64),
                targets_T[part],
            )

    def _add(
        self, one_TV: npt.NDArray[np.float64], other_TV: npt.NDArray[np.float64], targets_T: npt.NDArray[np.int64]
    ) -> None:
        self.max_difference = max(self.max_difference, float(np.abs(one_TV - other_TV).max(initial=0)))
        p_TV, q_TV = log_softmax(one_TV), log_softmax(other_TV)
        self.kl += (np.exp(p_TV) * (p_TV - q_TV)).sum(axis=1).tolist()
        rows = np.arange(len(p_TV))
        best_T, chosen_T = p_TV.argmax(axis=1), q_TV.argmax(axis=1)
        self.places += len(rows)
        self.agreed += int((best_T == chosen_T).sum())
        self.nearly += int((p_TV[rows, best_T] - p_TV[rows, chosen_T] <= TIE_NATS).sum())
        counts_T = targets_T >= 0
        self.reference_surprise += (-p_TV[rows[counts_T], targets_T[counts_T]]).tolist()
        self.surprise += (-q_TV[rows[counts_T], targets_T[counts_T]]).tolist()

    def figures(self) -> dict[str, float]:
        """Give what a certificate holds: differences, agreement, perplexities."""
        return {
            "tokens": self.places,
            "max_logit_difference": self.max_difference,
            "kl": max(0.0, float(np.mean(self.kl))),
            "max_kl": max(0.0, float(np.max(self.kl))),
            "agreement": self.agreed / self.places,
            "near_agreement": self.nearly / self.places,
            "perplexity": _perplexity(self.surprise),
            "reference_perplexity": _perplexity(self.reference_surprise),
        }


def log_softmax(logits_TV: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give natural log-probabilities."""
    shifted = logits_TV - logits_TV.max(axis=1, keepdims=True)
    found: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _perplexity(surprise: list[float]) -> float:
    return math.exp(min(float(np.mean(surprise)), 700)) if surprise else math.nan


def first_divergence(wanted: list[list[int]], found: list[list[int]]) -> tuple[int | None, float]:
    """Give the earliest place at which an answer goes another way (None: none does), and the share of answers' tokens
    before they do."""
    places = [_parting(one, other) for one, other in zip(wanted, found, strict=True)]
    parted = [place for place, one, other in zip(places, wanted, found, strict=True) if one != other]
    total = sum(len(one) for one in wanted)
    return (min(parted) if parted else None), (sum(places) / total if total else 1.0)


def _parting(one: list[int], other: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
