"""Estimates and intervals against values that can be worked out otherwise."""

from __future__ import annotations

import math
import random

import pytest

from seatrial.deployments.analysis.statistics import (
    Stratum,
    autocorrelation,
    paired_shift,
    quantile,
    rate_ratio,
    share_bounds,
    shift,
)


def test_the_interval_of_pairs_is_that_of_the_table() -> None:
    """n=10: the table of the signed-rank test has 8 as critical value at 5 %, so the bounds are the 9th averages."""
    values = [float(v) for v in (1, 4, 9, 16, 25, 36, 49, 64, 81, 100)]
    random.Random(1).shuffle(values)
    averages = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    found = paired_shift(values, 0.95)
    assert found.bare_low == averages[8]
    assert found.point == averages[27]


def test_the_interval_of_two_samples_is_that_of_the_table() -> None:
    """10 and 10 values: Mann-Whitney's critical value at 5 % is 23, so the bounds are the 24th differences."""
    before = [float(i) for i in range(10)]
    after = [i * 1.5 + 2 for i in range(10)]
    gaps = sorted(b - a for a in before for b in after)
    found = shift(before, after, 0.95)
    assert (found.low, found.high) == (gaps[23], gaps[-24])


def test_too_few_values_bound_nothing() -> None:
    assert paired_shift([1.0, 2.0, 3.0], 0.98).low == -math.inf
    assert shift([1.0], [2.0], 0.98).high == math.inf


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence: float) -> None:
    chance = random.Random(7)
    inside = {"pairs": 0, "samples": 0, "rates": 0}
    rounds = 150
    for _ in range(rounds):
        pairs = paired_shift([chance.gauss(1, 2) for _ in range(15)], confidence)
        inside["pairs"] += pairs.low <= 1 <= pairs.high
        two = shift(
            [chance.gauss(0, 1) for _ in range(12)], [chance.gauss(1, 1) for _ in range(12)], confidence
        )
        inside["samples"] += two.low <= 1 <= two.high
        strata = [_events(chance, 200 if i % 2 else 20, 100, 0.06, 0.03) for i in range(16)]
        ratio = rate_ratio(strata, confidence)
        inside["rates"] += ratio.low <= 2 <= ratio.high
    for what, count in inside.items():
        assert confidence - 0.08 <= count / rounds, (what, count)
    assert inside["pairs"] / rounds <= confidence + 0.09


def _events(chance: random.Random, trials: int, others: int, share: float, other_share: float) -> Stratum:
    return Stratum(
        sum(chance.random() < share for _ in range(trials)),
        trials,
        sum(chance.random() < other_share for _ in range(others)),
        others,
    )


def test_a_split_that_changes_with_the_rate_of_failures_is_no_difference() -> None:
    """Much traffic for the new version just when everything failed: pooled, it would look five times as bad."""
    strata = [*[Stratum(90, 900, 10, 100)] * 5, *[Stratum(1, 100, 9, 900)] * 5]
    found = rate_ratio(strata, 0.98)
    assert found.point == pytest.approx(1.0, rel=1e-6)
    assert found.low < 1 < found.high


def test_events_in_one_arm_only_have_a_lower_bound() -> None:
    found = rate_ratio([Stratum(3, 100, 0, 100)] * 4, 0.98)
    assert (found.point, found.high) == (math.inf, math.inf)
    # Twelve events all in one arm, of equal size: 0.01 = p^12 at the bound.
    share = 0.01 ** (1 / 12)
    assert found.low == pytest.approx(share / (1 - share), rel=1e-6)


def test_bursts_widen_the_interval() -> None:
    even = rate_ratio([Stratum(10, 100, 10, 100)] * 20, 0.98)
    uneven = rate_ratio([Stratum(20, 100, 0, 100), Stratum(0, 100, 20, 100)] * 10, 0.98)
    assert uneven.high > 2 * even.high


def test_neighbours_that_are_alike_count_less() -> None:
    values = [math.sin(i / 8) for i in range(60)]
    found = paired_shift(values, 0.98)
    assert found.independent < 10
    assert found.low < found.bare_low
    assert autocorrelation(values) > 0.9
    assert paired_shift([(-1.0) ** i for i in range(60)], 0.98).independent == 60


def test_bounds_of_a_share() -> None:
    """Wilson (1927): 1 of 10 is 1.79 % to 40.42 % at 95 %. Clopper and Pearson (1934): 0 of 10 is at most 30.85 %."""
    assert share_bounds(1, 10, 0.95) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert share_bounds(0, 10, 0.95) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert share_bounds(0, 0, 0.95) == (0.0, 1.0)


def test_quantiles_lie_between_neighbours() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert quantile([5.0], 0.99) == 5.0
