"""Rank tests with estimates, and rates compared over strata. Pure functions of numbers; nothing here knows of traffic.

Sources: Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods" (3rd ed.), sections 3.1 to 3.3 (signed rank,
Walsh averages) and 4.1 to 4.3 (rank sum, Hodges-Lehmann shift); Breslow and Day, "Statistical Methods in Cancer
Research", volume II (ratios of rates given the number of events).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXACT = 30
"""Up to so many observations the exact distribution is used."""
_MOST_PAIRS = 40_000
"""More differences than these are thinned out: beyond, an estimate does not get better that anybody could see."""


class Estimate(NamedTuple):
    """A shift with its two-sided confidence interval; the interval may be infinite where data cannot bound it.

    `independent` is as how many independent observations the data count, and `bare_low` where the interval would begin
    if all of them were independent.
    """

    point: float
    low: float
    high: float
    independent: float = math.inf
    bare_low: float = -math.inf


def paired_shift(differences: Sequence[float], confidence: float) -> Estimate:
    """The typical difference of pairs: the median of Walsh averages, with the interval of the signed-rank test.

    `differences` are in the order of time. Where neighbours are alike, the interval is wider by as much.
    """
    n = len(differences)
    averages = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    tail = (1 - confidence) / 2
    cut = (
        _signed_rank_cut(n, tail)
        if n <= _EXACT
        else _normal_cut(n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24, tail)
    )
    found = _interval(averages, cut)
    alike = _repetition(differences)
    wider = math.sqrt(alike)
    return Estimate(
        found.point,
        found.point - (found.point - found.low) * wider,
        found.point + (found.high - found.point) * wider,
        n / alike,
        found.low,
    )


def _repetition(values: Sequence[float]) -> float:
    """How many neighbouring values say as much as one that is independent, if each follows the one before it (AR 1)."""
    n = len(values)
    found = autocorrelation(values)
    # The estimate is too small by about (1 + 3r)/n. Source: Marriott and Pope, Biometrika 41 (1954).
    likely = min(0.95, max(0.0, found + (1 + 3 * found) / n)) if found > 1.5 / math.sqrt(n) else 0.0
    return (1 + likely) / (1 - likely)


def shift(before: Sequence[float], after: Sequence[float], confidence: float) -> Estimate:
    """By how much `after` is typically larger (Hodges-Lehmann), with the interval of the Mann-Whitney test."""
    before, after = _thinned(before), _thinned(after)
    m, n = len(before), len(after)
    gaps = sorted(b - a for a in before for b in after)
    tail = (1 - confidence) / 2
    cut = (
        _rank_sum_cut(m, n, tail)
        if max(m, n) <= _EXACT
        else _normal_cut(m * n / 2, m * n * (m + n + 1) / 12, tail)
    )
    return _interval(gaps, cut)


def _thinned(values: Sequence[float]) -> list[float]:
    most = math.isqrt(_MOST_PAIRS)
    if len(values) <= most:
        return list(values)
    ordered = sorted(values)
    return [ordered[(2 * i + 1) * len(ordered) // (2 * most)] for i in range(most)]


def _interval(ordered: Sequence[float], cut: int) -> Estimate:
    middle = _median(ordered)
    if cut < 1 or cut > len(ordered) // 2:
        return Estimate(middle, -math.inf, math.inf)
    return Estimate(middle, ordered[cut - 1], ordered[len(ordered) - cut])


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _normal_cut(mean: float, variance: float, tail: float) -> int:
    return math.floor(mean + NormalDist().inv_cdf(tail) * math.sqrt(variance) + 0.5)


@cache
def _signed_rank_cut(n: int, tail: float) -> int:
    """The largest k with P(W < k) ≤ tail; 0 when even the smallest sum is more likely."""
    ways = [1]
    for rank in range(1, n + 1):
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    return _cut(ways, tail)


@cache
def _rank_sum_cut(m: int, n: int, tail: float) -> int:
    """The same for Mann-Whitney's U."""
    # ways[k][u]: choices of k values of one sample that come before u of the other, value by value.
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(m))]
    for place in range(1, m + n + 1):
        for chosen in range(min(place, m), 0, -1):
            beaten = place - chosen
            if beaten > n:
                continue
            for u, count in ways[chosen - 1].items():
                ways[chosen][u + beaten] = ways[chosen].get(u + beaten, 0) + count
    counts = [ways[m].get(u, 0) for u in range(m * n + 1)]
    return _cut(counts, tail)


def _cut(ways: Sequence[int], tail: float) -> int:
    allowed, below = tail * sum(ways), 0
    for value, count in enumerate(ways):
        below += count
        if below > allowed:
            return value
    return len(ways)


# Rates


class Stratum(NamedTuple):
    """Events among trials of both arms in one stretch of time."""

    events: int
    trials: int
    other_events: int
    other_trials: int


def rate_ratio(strata: Sequence[Stratum], confidence: float) -> Estimate:
    """How many times as frequent events are in the first arm, given how many there were in each stratum.

    Traffic may be split differently from stratum to stratum. Where events come in bursts, the interval is wider by as
    much as the strata disagree. Without any event nothing is known: the interval is (0, ∞).
    """
    known = [s for s in strata if s.trials and s.other_trials and s.events + s.other_events]
    mine, all_events = sum(s.events for s in known), sum(s.events + s.other_events for s in known)
    if not all_events:
        return Estimate(1.0, 0.0, math.inf)
    tail = (1 - confidence) / 2
    point = math.inf if mine else 0.0
    if 0 < mine < all_events:
        point = _smallest(lambda ratio: _expected(known, ratio) >= mine)
    burst, alike = _dispersion(known, point) if all_events > _EXACT else (1.0, 1.0)
    low, bare, high = 0.0, 0.0, math.inf
    if mine:
        low = bare = _smallest(lambda ratio: 1 - _below(known, mine, ratio, burst * alike) >= tail)
        if alike > 1:
            bare = _smallest(lambda ratio: 1 - _below(known, mine, ratio, burst) >= tail)
    if mine < all_events:
        high = _smallest(lambda ratio: _below(known, mine + 1, ratio, burst * alike) <= tail)
    return Estimate(point, low, high, len(strata) / alike, bare)


def _smallest(reached: Callable[[float], bool]) -> float:
    """The smallest ratio from which on `reached` holds."""
    low, high = -12.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _share(one: Stratum, ratio: float) -> float:
    return one.trials * ratio / (one.trials * ratio + one.other_trials)


def _expected(strata: Sequence[Stratum], ratio: float) -> float:
    return sum((s.events + s.other_events) * _share(s, ratio) for s in strata)


def _dispersion(strata: Sequence[Stratum], ratio: float) -> tuple[float, float]:
    """How much more the strata differ than chance makes them (1: no more), and how many say as much as one."""
    if not 0 < ratio < math.inf or len(strata) < 5:  # noqa: PLR2004 - too few to tell
        return 1.0, 1.0
    residuals = []
    for one in strata:
        count, share = one.events + one.other_events, _share(one, ratio)
        residuals.append((one.events - count * share) / math.sqrt(count * share * (1 - share)))
    spread = sum(value * value for value in residuals) / (len(strata) - 1)
    return max(1.0, spread), _repetition(residuals)


def _below(strata: Sequence[Stratum], mine: int, ratio: float, burst: float) -> float:
    """P(first arm has fewer than `mine` events)."""
    count = sum(s.events + s.other_events for s in strata)
    if count <= _EXACT:
        chances = [1.0]
        for one in strata:
            share = _share(one, ratio)
            for _ in range(one.events + one.other_events):
                chances = [
                    (chances[k] * (1 - share) if k < len(chances) else 0.0)
                    + (chances[k - 1] * share if k else 0.0)
                    for k in range(len(chances) + 1)
                ]
        return sum(chances[:mine])
    mean = variance = 0.0
    for events, trials, other_events, other_trials in strata:
        share = trials * ratio / (trials * ratio + other_trials)
        expected = (events + other_events) * share
        mean += expected
        variance += expected * (1 - share)
    return NormalDist().cdf((mine - 0.5 - mean) / math.sqrt(max(variance * burst, 1e-12)))


def share_bounds(events: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share. Without any event its end is the exact one (Clopper and Pearson, 1934): far out,
    where certainty is asked for, Wilson's is a third wider.
    """
    if not trials:
        return 0.0, 1.0
    if not events:
        return 0.0, 1 - ((1 - confidence) / 2) ** (1 / trials)
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    share = events / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    below = 1 + z * z / trials
    return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def autocorrelation(values: Sequence[float]) -> float:
    """Of neighbours (lag 1); 0 for fewer than three values."""
    if len(values) < 3:  # noqa: PLR2004
        return 0.0
    mean = fmean(values)
    spread = sum((value - mean) ** 2 for value in values)
    if not spread:
        return 0.0
    return sum((a - mean) * (b - mean) for a, b in pairwise(values)) / spread


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, between neighbours by linear interpolation."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
