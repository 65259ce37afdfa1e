"""How sure it is that the passages hold an answer, from 0 to 1, and the threshold below which it is not given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luthier.answer.passage import Passage
from luthier.answer.relevance import by_words
from luthier.errors import DataError
from luthier.measure.support import content

DEFAULT_THRESHOLD = 0.3
"""Without `tune` (measured in docs/experiments.md)."""
RESAMPLES = 1_000

Floats = npt.NDArray[np.float64]


def by_common_words(question: str, passages: Sequence[Passage]) -> float:
    """Give the mean of two shares of what the question asks for: what the nearest sentence speaks of, and what the best
    passage does. Confidence is this, or nearness by meaning where that is more."""
    wanted = content(question)
    if not passages or not wanted:
        return 0.0
    nearest = max((each.score for passage in passages for each in by_words(question, passage)), default=0.0)
    spoken_of = max(len(wanted & content(passage.chunk.text)) for passage in passages)
    return min(1.0, (nearest + spoken_of / len(wanted)) / 2)


@dataclass(frozen=True)
class Calibration:
    """A threshold and how well it tells answerable questions from others."""

    threshold: float
    balanced_accuracy: float
    low: float
    high: float
    """Ends of the bootstrap interval of the balanced accuracy, at 95 %."""
    auroc: float
    answerable: int
    unanswerable: int

    def sentence(self) -> str:
        """Say what was found."""
        return (
            f"threshold {self.threshold:g}: tells {self.answerable} answerable questions from {self.unanswerable} "
            f"others with a balanced accuracy of {self.balanced_accuracy:.3f} ({self.low:.3f} to {self.high:.3f}), "
            f"AUROC {self.auroc:.3f}"
        )


def calibrate(answerable: Sequence[float], unanswerable: Sequence[float], seed: int = 0) -> Calibration:
    """Find the threshold with the best balanced accuracy; of equal ones the middle of the widest gap.

    Raises DataError with fewer than five questions on either side: any threshold would do.
    """
    if min(len(answerable), len(unanswerable)) < 5:
        raise DataError(
            f"{len(answerable)} questions are answerable and {len(unanswerable)} are not: too few to find a threshold",
            where="key tune",
            mend="give at least five of each: `documents` (labels that hold the answer), or `answerable: false`",
        )
    yes, no = np.asarray(sorted(answerable)), np.asarray(sorted(unanswerable))
    threshold = _best(yes, no)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        again_yes, again_no = generator.choice(yes, len(yes)), generator.choice(no, len(no))
        drawn.append(_balanced(threshold, again_yes, again_no))
    low, high = np.quantile(drawn, [0.025, 0.975])
    above = (yes[:, None] > no[None, :]).mean() + (yes[:, None] == no[None, :]).mean() / 2
    return Calibration(
        threshold=round(threshold, 4),
        balanced_accuracy=_balanced(threshold, yes, no),
        low=float(low),
        high=float(high),
        auroc=float(above),
        answerable=len(yes),
        unanswerable=len(no),
    )


def _best(yes: Floats, no: Floats) -> float:
    edges = np.unique(np.concatenate([[0.0], yes, no, [1.0]]))
    middles = (edges[1:] + edges[:-1]) / 2
    scores = [_balanced(float(middle), yes, no) for middle in middles]
    best = max(scores)
    tied = [place for place, score in enumerate(scores) if math.isclose(score, best)]
    widest = max(tied, key=lambda place: edges[place + 1] - edges[place])
    return float(middles[widest])


def _balanced(threshold: float, yes: Floats, no: Floats) -> float:
    return float(((yes >= threshold).mean() + (no < threshold).mean()) / 2)
