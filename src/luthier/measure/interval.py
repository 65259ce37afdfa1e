"""How sure a difference is: the paired bootstrap.

Both models answered the same rows, so rows are drawn anew with both their answers; rows that belong together (several
questions about one thing) are drawn together, because they are right or wrong together.

Letters in names of arrays: N rows, G groups, R resamples, S statistics of a metric.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Figure = Callable[[Floats], Floats]
"""Sums of statistics, (..., S), to figures, (...)."""

_CELLS_AT_ONCE = 2_000_000
"""Cells of the (resamples, groups) table drawn at once: 16 MB."""


@dataclass(frozen=True)
class Comparison:
    """A metric before and after. `gain` is how much better it got: above zero is better, whatever the metric.

    `low` and `high` are the ends of the gain's interval; NaN where it cannot be known.
    """

    before: float
    after: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A metric of one model, and the ends of its interval; NaN where they cannot be known."""

    value: float
    low: float
    high: float


def estimate(
    values_NS: Floats,
    figure: Figure,
    *,
    groups: Sequence[str],
    resamples: int,
    seed: int,
    confidence: float = 0.95,
    is_share: bool = False,
) -> Estimate:
    """Give a metric over N rows with its BCa bootstrap interval; `groups` as in `compare`.

    Of a share (each row from 0 to 1) that came out the same in every group, no draw shows a spread: the ends are then
    as far as so many groups alike leave open, at 0 and 1 those of Clopper and Pearson (1934).
    """
    sums_GS = _sum_by(groups, values_NS)
    seen, low, high = _interval([sums_GS], figure, resamples, seed, confidence)
    if is_share and low == seen == high:
        alike = int(np.isfinite(figure(sums_GS)).sum())
        unseen = 1 - ((1 - confidence) / 2) ** (1 / alike)
        low, high = seen * (1 - unseen), seen + (1 - seen) * unseen
    return Estimate(seen, low, high)


def compare(
    before_NS: Floats,
    after_NS: Floats,
    figure: Figure,
    *,
    higher_is_better: bool,
    groups: Sequence[str],
    resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> Comparison:
    """Compare a metric on the same N rows before and after, with the BCa bootstrap interval of the gain.

    `groups` names for each row what it belongs to; equal names are drawn together. Equal calls give equal figures.
    The ends are NaN with fewer than two groups, or where the figures are not finite.
    Source: Efron 1987, "Better Bootstrap Confidence Intervals", equations 2.3 and 6.6.
    """
    sign = 1.0 if higher_is_better else -1.0
    sides_GS = [_sum_by(groups, before_NS), _sum_by(groups, after_NS)]

    def gain(before: Floats, after: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # infinite minus infinite: unknown, and told as NaN
            difference: Floats = sign * (figure(after) - figure(before)) + 0.0  # -0.0 would read as a loss
        return difference

    seen, low, high = _interval(sides_GS, gain, resamples, seed, confidence)
    before, after = (float(figure(side_GS.sum(axis=0))) for side_GS in sides_GS)
    return Comparison(before, after, seen, low, high)


def _interval(
    sides_GS: Sequence[Floats], figure: Callable[..., Floats], resamples: int, seed: int, confidence: float
) -> tuple[float, float, float]:
    """Give a figure of one or two sides' sums, and the ends of its interval."""
    sums = [side_GS.sum(axis=0) for side_GS in sides_GS]
    seen = float(figure(*sums))
    groups = len(sides_GS[0])
    if groups < 2 or not np.isfinite(seen):
        return seen, float("nan"), float("nan")
    drawn_R = np.concatenate(
        [figure(*(weights @ side_GS for side_GS in sides_GS)) for weights in _weights(groups, resamples, seed)]
    )
    left_out_G = figure(*(total - side_GS for total, side_GS in zip(sums, sides_GS, strict=True)))
    return seen, *_bca(seen, drawn_R, left_out_G, confidence)


def _sum_by(groups: Sequence[str], values_NS: Floats) -> Floats:
    if len(groups) != len(values_NS):
        raise ValueError(f"{len(groups)} groups for {len(values_NS)} rows")
    places = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    sums_GS = np.zeros((len(places), values_NS.shape[1]))
    np.add.at(sums_GS, [places[name] for name in groups], values_NS)
    return sums_GS


def _weights(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each group is drawn, (some of R, G): as many draws in each resample as there are groups."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // groups)
    for begin in range(0, resamples, at_once):
        count = min(at_once, resamples - begin)
        yield generator.multinomial(groups, np.full(groups, 1 / groups), size=count).astype(np.float64)


def _bca(seen: float, drawn_R: Floats, left_out_G: Floats, confidence: float) -> tuple[float, float]:
    """The ends of the interval: percentiles shifted for bias (z0) and for skew (a)."""
    if not np.isfinite(drawn_R).all():
        return float("nan"), float("nan")
    normal = NormalDist()
    # half of the ties: yes/no metrics draw the seen value itself again and again
    below = float(np.mean(drawn_R < seen) + np.mean(drawn_R == seen) / 2)
    if not 0 < below < 1:  # every resample on one side, or all the same: nothing to shift by
        return float(drawn_R.min()), float(drawn_R.max())
    bias = normal.inv_cdf(below)
    skew = _skew(left_out_G)
    ends = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(share)
        stretch = 1 - skew * shifted
        ends.append(normal.cdf(bias + shifted / stretch) if stretch > 0 else float(shifted > 0))
    low, high = np.quantile(drawn_R, ends)
    return float(low), float(high)


def _skew(left_out_G: npt.NDArray[np.float64]) -> float:
    """The acceleration: how the figure's spread changes with the figure, from leaving out one group at a time."""
    if not np.isfinite(left_out_G).all():
        return 0.0
    away_G = left_out_G.mean() - left_out_G
    spread = float((away_G**2).sum())
    return float((away_G**3).sum() / (6 * spread**1.5)) if spread > 1e-300 else 0.0
