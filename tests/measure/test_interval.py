import math

import numpy as np
import pytest

from luthier.measure.interval import Comparison, Floats, compare, estimate


def mean(sums: Floats) -> Floats:
    ratio: Floats = sums[..., 0] / sums[..., 1]
    return ratio


def statistics(values: Floats) -> Floats:
    return np.stack([values, np.ones(len(values))], axis=-1)


def of_values(
    before: Floats,
    after: Floats,
    *,
    groups: list[str] | None = None,
    higher_is_better: bool = True,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Comparison:
    return compare(
        statistics(before),
        statistics(after),
        mean,
        higher_is_better=higher_is_better,
        groups=groups or [str(place) for place in range(len(before))],
        resamples=resamples,
        seed=3,
        confidence=confidence,
    )


def test_the_interval_is_the_published_one_for_efrons_spatial_data() -> None:
    # Efron and Tibshirani 1993, "An Introduction to the Bootstrap", tables 14.1 and 14.2: the variance of 26 scores,
    # 171.5, with the 90 % BCa interval (115.8, 259.6) from 2,000 draws, where the plain percentiles are (100.8, 233.9)
    scores = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]
    values = np.asarray(scores, dtype=np.float64)
    sums = np.stack([values, values**2, np.ones(26)], axis=-1)

    def variance(sums: Floats) -> Floats:
        count = np.maximum(sums[..., 2], 1)
        found: Floats = sums[..., 1] / count - (sums[..., 0] / count) ** 2
        return found

    names = [str(place) for place in range(26)]
    found = compare(
        np.zeros_like(sums), sums, variance,
        higher_is_better=True, groups=names, resamples=20_000, seed=0, confidence=0.9,
    )  # fmt: skip
    assert found.gain == pytest.approx(171.5, abs=0.05)
    assert found.low == pytest.approx(115.8, abs=3)
    assert found.high == pytest.approx(259.6, abs=5)


SKEWED = [0.1, 0.2, 0.2, 0.3, 0.5, 0.8, 1.3, 2.1, 3.4, 5.5, 8.9, 14.4]
PAIRS = [[1, 2, 4, 3, 8, 2, 9, 1, 5, 30], [2, 3, 5, 9, 9, 4, 12, 1, 8, 31]]


@pytest.mark.parametrize(
    ("sums", "low", "high", "step"),
    [
        ([[1, 1]] * 29 + [[0, 1]], 25 / 30, 1, 1 / 30),
        ([[1, 1]] * 27 + [[0, 1]] * 3, 22 / 30, 29 / 30, 1 / 30),
        ([[1, 1]] * 3 + [[0, 1]] * 27, 1 / 30, 8 / 30, 1 / 30),
        ([[value, 1] for value in SKEWED], 1.36667, 6.64167, 0.15),
        ([list(pair) for pair in zip(*PAIRS, strict=True)], 0.59322, 0.92021, 0.01),
    ],
)
def test_the_interval_is_scipys(sums: list[list[float]], low: float, high: float, step: float) -> None:
    # scipy 1.17.1: stats.bootstrap(..., method="BCa", n_resamples=200_000, rng=default_rng(0)) of the mean, and of the
    # ratio of sums (paired=True); a yes or no moves by one row at a time
    names = [str(place) for place in range(len(sums))]
    found = estimate(np.asarray(sums, np.float64), mean, groups=names, resamples=50_000, seed=1)
    assert (found.low, found.high) == pytest.approx((low, high), abs=step + 1e-9)


@pytest.mark.parametrize("shape", ["even", "skewed", "yes or no"])
def test_the_interval_holds_the_truth_as_often_as_it_says(shape: str) -> None:
    generator = np.random.default_rng(7)
    count, runs, hits = 60, 400, 0
    for _ in range(runs):
        before = generator.normal(0, 1, count)
        if shape == "even":
            truth, gain = 0.3, generator.normal(0.3, 1, count)
        elif shape == "skewed":
            truth, gain = 1.0, generator.exponential(1.0, count)
        else:
            truth, gain = 0.2, generator.binomial(1, 0.2, count).astype(np.float64)
        found = of_values(before, before + gain)
        hits += found.low <= truth <= found.high
    # 95 % of 400 runs, give or take three standard deviations and the known shortfall of small samples
    assert 0.91 <= hits / runs <= 0.98


def test_a_pair_is_drawn_together_so_an_equal_gain_everywhere_is_sure() -> None:
    before = np.random.default_rng(1).normal(0, 100, 30)
    found = of_values(before, before + 0.5)
    assert (found.gain, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_saying_everything_twice_makes_nobody_surer_if_the_twins_are_one_group() -> None:
    generator = np.random.default_rng(2)
    before, after = generator.normal(0, 1, 25), generator.normal(0.4, 1, 25)
    names = [str(place) for place in range(25)]
    once = of_values(before, after, groups=names)
    twice = of_values(np.tile(before, 2), np.tile(after, 2), groups=names * 2)
    alone = of_values(np.tile(before, 2), np.tile(after, 2))
    assert (twice.gain, twice.low, twice.high) == pytest.approx((once.gain, once.low, once.high))
    assert alone.high - alone.low < 0.85 * (once.high - once.low)


def test_gain_is_above_zero_where_less_is_better_and_less_came() -> None:
    found = of_values(np.asarray([4.0, 5.0, 6.0]), np.asarray([1.0, 2.0, 2.0]), higher_is_better=False)
    assert (found.before, found.after) == pytest.approx((5, 5 / 3))
    assert found.gain == pytest.approx(10 / 3)
    assert 0 < found.low <= found.gain <= found.high


def test_no_change_is_a_gain_of_plain_zero_where_less_is_better() -> None:
    found = of_values(np.ones(5), np.ones(5), higher_is_better=False)
    assert [str(value) for value in (found.gain, found.low, found.high)] == ["0.0", "0.0", "0.0"]


def test_perplexitys_interval_comes_from_the_ratio_not_from_a_mean_of_rows() -> None:
    def perplexity(sums: Floats) -> Floats:
        figure: Floats = np.exp(-sums[..., 0] / sums[..., 1])
        return figure

    generator = np.random.default_rng(5)
    tokens = generator.integers(1, 80, 50).astype(np.float64)
    before = np.stack([-3.0 * tokens, tokens], axis=-1)  # every token of a row is as likely as every other:
    after = np.stack([-2.0 * tokens, tokens], axis=-1)  # so whichever rows are drawn, the figures stay
    names = [str(place) for place in range(50)]
    found = compare(before, after, perplexity, higher_is_better=False, groups=names, resamples=500, seed=0)
    wanted = math.exp(3) - math.exp(2)
    assert (found.gain, found.low, found.high) == pytest.approx((wanted, wanted, wanted))


@pytest.mark.parametrize(("rows", "right", "low", "high"), [(10, 0, 0, 0.3085), (20, 0, 0, 0.1684), (20, 1, 0.8316, 1)])
def test_a_share_of_none_or_all_is_as_unsure_as_clopper_and_pearson_say(
    rows: int, right: int, low: float, high: float
) -> None:
    # exact limits of 0 of 10, 0 of 20 and 20 of 20 at 95 %, as tables of the binomial distribution have them
    sums = np.asarray([[right, 1]] * rows, np.float64)
    names = [str(place) for place in range(rows)]
    found = estimate(sums, mean, groups=names, resamples=200, seed=0, is_share=True)
    assert (found.value, found.low, found.high) == pytest.approx((right, low, high), abs=5e-5)
    plain = estimate(sums, mean, groups=names, resamples=200, seed=0)
    assert (plain.low, plain.high) == (right, right)


def test_the_interval_of_a_rare_success_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    names = [str(place) for place in range(60)]
    hits = 0
    for _ in range(400):  # 0.01: more than half of the runs see none
        sums = np.stack([generator.binomial(1, 0.01, 60), np.ones(60)], axis=-1).astype(np.float64)
        found = estimate(sums, mean, groups=names, resamples=300, seed=0, is_share=True)
        hits += found.low <= 0.01 <= found.high
    assert hits / 400 >= 0.91


def test_the_same_call_gives_the_same_figures() -> None:
    before, after = np.random.default_rng(4).normal(0, 1, (2, 40))
    assert of_values(before, after) == of_values(before, after)


def test_more_confidence_asks_for_a_wider_interval() -> None:
    before, after = np.random.default_rng(4).normal(0, 1, (2, 40))
    narrow, wide = of_values(before, after, confidence=0.8), of_values(before, after, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_group_or_an_infinite_figure_leaves_the_ends_unknown() -> None:
    one = of_values(np.asarray([0.0, 1.0]), np.asarray([1.0, 1.0]), groups=["same", "same"])
    assert one.gain == pytest.approx(0.5)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    endless = of_values(np.asarray([0.0, np.inf]), np.asarray([1.0, np.inf]))
    assert math.isnan(endless.gain)
    assert math.isnan(endless.low)


def test_groups_that_do_not_fit_the_rows_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="1 groups for 2 rows"):
        of_values(np.zeros(2), np.ones(2), groups=["only one"])
