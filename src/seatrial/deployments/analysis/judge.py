"""Is the new version as good as the old one, as far as their traffic shows? A pure function of both arms' windows.

Both arms answer at the same time, so each window of one is compared with the same window of the other: what shakes
both (bursts, a slow data base, the time of day) cancels. Neighbouring windows are put together until every batch has
enough requests of both. What is left of a trend in one arm makes neighbouring batches alike; since tests take them for
independent, intervals are widened by as much.

A metric fails when it is certain to be worse (the interval excludes no change) and worse by more than is allowed; it
passes when the interval excludes more than is allowed; else it is unclear. One that fails rolls back, all that pass
promote, anything else holds.

A load balancer's clock may tick in milliseconds. Equal latencies are taken as spread over their tick therefore, and
what is closer than `latency_least` is no difference, whatever fraction of a short latency that is.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from seatrial.deployments.analysis.batches import batches
from seatrial.deployments.analysis.model import Comparison, Judgement, Limits, Window
from seatrial.deployments.analysis.statistics import (
    Estimate,
    Stratum,
    paired_shift,
    quantile,
    rate_ratio,
    share_bounds,
    shift,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seatrial.deployments.analysis.batches import Pair
    from seatrial.deployments.analysis.model import State

_CERTAIN = 0.25
"""The part of an estimated change that its interval must exclude. Source: Kayenta's Mann-Whitney classifier."""
_NOTHING = 1e-9
_GROSS = 3.0
"""Times what is allowed: so much worse is no drift."""


_MANIFOLD, _BOUNDLESS = 10.0, 1e6
"""Changes that are read more easily as so many times, and those that data cannot bound."""


def judge(
    baseline: Iterable[Window], canary: Iterable[Window], limits: Limits | None = None, *, looks: int = 1
) -> Judgement:
    """Compare the windows of two arms. With `looks` judgements planned, each is made so much more carefully."""
    limits = limits or Limits()
    old, new = list(baseline), list(canary)
    confidence = 1 - (1 - limits.confidence) / looks
    requests = (sum(w.requests for w in old), sum(w.requests for w in new))
    pairs = batches(old, new, limits.latency_least)
    comparisons = [*_absolute(new, limits, confidence)]
    if min(requests) >= limits.min_requests and len(pairs) >= limits.min_batches:
        seen = _evidence(pairs)
        comparisons += [
            _errors(pairs, limits, confidence),
            _latency("p50 latency", seen, _median, limits.latency_increase, limits, confidence),
            _tail(seen, 0.95, limits.tail_increase, limits, confidence),
            _tail(seen, 0.99, 3 * limits.tail_increase, limits, confidence),
            _latency("latency spread", seen, _quartiles, limits.spread_increase, limits, confidence),
        ]
        missing = ""
    else:
        missing = _missing(requests, len(pairs), limits)
    comparisons += _values(old, new, limits, confidence)
    return _judgement(comparisons, missing, requests, len(pairs))


def _judgement(found: list[Comparison], missing: str, requests: tuple[int, int], batches: int) -> Judgement:
    order = {"fail": 0, "unclear": 1, "pass": 2}
    found.sort(key=lambda one: order[one.state])
    failing = [one for one in found if one.state == "fail"]
    unclear = [one for one in found if one.state == "unclear"]
    if failing:
        decision, why = "roll back", "; ".join(one.why for one in failing)
    elif missing:
        decision, why = "hold", missing
    elif unclear:
        decision, why = "hold", "; ".join(one.why for one in unclear)
    else:
        decision, why = "promote", "; ".join(one.why for one in found)
    return Judgement(
        decision=decision,  # type: ignore[arg-type]
        why=why,
        comparisons=tuple(found),
        requests=requests,
        batches=batches,
    )


def _missing(requests: tuple[int, int], batches: int, limits: Limits) -> str:
    if not requests[1]:
        return "the new version has answered no request yet"
    if not requests[0]:
        return "the old version has answered no request in this time, so there is nothing to compare with"
    if min(requests) < limits.min_requests:
        which = "new" if requests[1] <= requests[0] else "old"
        return f"the {which} version has answered {min(requests)} of at least {limits.min_requests} requests"
    return f"{batches} of at least {limits.min_batches} independent stretches of time can be compared"


def _changes(pairs: Sequence[Pair], of: Callable[[Sequence[float]], float]) -> list[float]:
    """The logarithm of new by old, batch by batch."""
    return [
        math.log(max(of(pair.new.latencies), _NOTHING) / max(of(pair.old.latencies), _NOTHING))
        for pair in pairs
    ]


def _median(ordered: Sequence[float]) -> float:
    return quantile(ordered, 0.5)


def _quartiles(ordered: Sequence[float]) -> float:
    return quantile(ordered, 0.75) - quantile(ordered, 0.25)


class _Evidence(NamedTuple):
    """Batches, and both arms' latencies in order: in seconds, and as multiples of the arm's own median in each batch."""

    pairs: Sequence[Pair]
    old: list[float]
    new: list[float]
    old_multiples: list[float]
    new_multiples: list[float]


def _evidence(pairs: Sequence[Pair]) -> _Evidence:
    old, new = [pair.old for pair in pairs], [pair.new for pair in pairs]
    return _Evidence(
        pairs,
        *(sorted(value for window in arm for value in window.latencies) for arm in (old, new)),
        *(sorted(value for window in arm for value in _multiples(window)) for arm in (old, new)),
    )


# Metrics


def _errors(pairs: Sequence[Pair], limits: Limits, confidence: float) -> Comparison:
    """The share of failed requests; events are compared within each batch, so that common failures cancel."""
    strata = [Stratum(p.new.errors, p.new.requests, p.old.errors, p.old.requests) for p in pairs]
    ratio = rate_ratio(strata, confidence)
    mine, trials = sum(s.events for s in strata), sum(s.trials for s in strata)
    others, other_trials = sum(s.other_events for s in strata), sum(s.other_trials for s in strata)
    new, old = mine / trials, others / other_trials
    above = share_bounds(mine, trials, confidence)[1] - old
    state: State = "unclear"
    # Failures that are certainly new count even where they are rarer than what is allowed.
    if ratio.low > 1 and (new - old > limits.error_increase or new > 2 * old):
        state = "fail"
    elif above <= limits.error_increase or (ratio.high - 1) * old <= limits.error_increase:
        state = "pass"
    return Comparison(
        metric="errors",
        state=state,
        baseline=old,
        canary=new,
        change=new - old,
        low=max(-old, (ratio.low - 1) * old) if old else share_bounds(mine, trials, confidence)[0],
        high=above,
        test="ratio of rates given the number of events",
        allowed=limits.error_increase,
        why=f"{new:.2%} of {trials} requests failed, {old:.2%} of {other_trials} of the old version"
        + _said(state, f"more than {limits.error_increase:.2%} more cannot be excluded yet"),
    )


def _latency(
    metric: str,
    seen: _Evidence,
    of: Callable[[Sequence[float]], float],
    allowed: float,
    limits: Limits,
    confidence: float,
) -> Comparison:
    old, new = of(seen.old), of(seen.new)
    least = limits.latency_least / max(old, _NOTHING)
    return _compared(
        metric,
        (old, new),
        paired_shift(_changes(seen.pairs, of), confidence),
        max(allowed, least),
        f"signed-rank test of {len(seen.pairs)} pairs, Hodges-Lehmann estimate",
        seconds=True,
        enough=limits.min_batches,
        said=f"{limits.latency_least * 1000:g} ms" if least > allowed else "",
    )


def _tail(seen: _Evidence, share: float, allowed: float, limits: Limits, confidence: float) -> Comparison:
    """How often the new version is much slower than it usually is: an equal mean or median can hide that.

    Latencies are taken as multiples of the version's own median in the same batch, so that this says nothing of what
    the comparison of medians says already. Where the quantiles are no further apart than `latency_least`, only those
    of the new version count that are beyond that.
    """
    threshold, reached = quantile(seen.old_multiples, share), quantile(seen.new_multiples, share)
    apart = (reached - threshold) * _median(seen.old)
    beyond = limits.latency_least if apart <= limits.latency_least else 0.0
    strata = [
        Stratum(
            _above(pair.new, threshold, beyond),
            len(pair.new.latencies),
            _above(pair.old, threshold),
            len(pair.old.latencies),
        )
        for pair in seen.pairs
    ]
    return _compared(
        f"requests above p{share * 100:.0f}",
        (quantile(seen.old, share), quantile(seen.new, share)),
        _logarithms(_how_often(strata, 1 - share, confidence)),
        allowed,
        f"quantile test: requests of more than {threshold:.3g} times the version's own median, p{share * 100:.0f} of the old one",
        seconds=True,
        enough=limits.min_batches,
        about="{metric}, which is {new} after {old}",
    )


def _how_often(strata: Sequence[Stratum], usual: float, confidence: float) -> Estimate:
    if any(one.events or one.other_events for one in strata):
        return rate_ratio(strata, confidence)
    # Latencies that never vary: nothing is above, which says how rarely something can be.
    return Estimate(1.0, 0.0, share_bounds(0, sum(one.trials for one in strata), confidence)[1] / usual)


def _multiples(window: Window) -> list[float]:
    usual = max(_median(window.latencies), _NOTHING)
    return [value / usual for value in window.latencies]


def _above(window: Window, threshold: float, beyond: float = 0.0) -> int:
    """How many take more than so many times the median, and so many seconds more than that."""
    slow = threshold * max(_median(window.latencies), _NOTHING) + beyond
    return len(window.latencies) - bisect_right(window.latencies, slow)


def _logarithms(ratio: Estimate) -> Estimate:
    point, low, high, bare = (
        math.log(max(value, 1e-9)) for value in (ratio.point, ratio.low, ratio.high, ratio.bare_low)
    )
    return Estimate(point, low, high, ratio.independent, bare)


def _compared(
    metric: str,
    values: tuple[float, float],
    found: Estimate,
    allowed: float,
    test: str,
    *,
    seconds: bool = False,
    lower_is_worse: bool = False,
    enough: int = 0,
    said: str = "",
    about: str = "{metric} {new} after {old}",
) -> Comparison:
    """What the logarithms of a ratio say about a metric of which more is worse (or less). `said` is what is allowed."""
    point, low, high, bare = (
        math.expm1(min(value, 50.0)) for value in (found.point, found.low, found.high, found.bare_low)
    )
    worse = (-point, -high, -low, -high) if lower_is_worse else (point, low, high, bare)
    state = _state(worse, allowed, enough=found.independent >= enough)
    old, new = (_took(value) if seconds else f"{value:.4g}" for value in values)
    alike = (
        "" if found.independent >= enough else f": {found.independent:.0f} stretches of time are independent"
    )
    return Comparison(
        metric=metric,
        state=state,
        baseline=values[0],
        canary=values[1],
        change=point,
        low=low,
        high=high if math.isfinite(high) else None,
        test=test,
        allowed=allowed,
        why=f"{about.format(metric=metric, new=new, old=old)}: {_change(point)} ({_change(low)} to {_change(high)}), "
        f"allowed {said or f'{allowed:.0%}'}" + _said(state, f"not certain yet{alike}"),
    )


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _change(fraction: float) -> str:
    if fraction < _MANIFOLD:
        return f"{fraction:+.1%}"
    return f"{fraction + 1:.3g} times" if fraction < _BOUNDLESS else "any"


def _state(worse: tuple[float, float, float, float], allowed: float, *, enough: bool) -> State:
    """A slow drift of one arm looks like a change until it has been seen coming and going a few times; only what is far
    more than allowed need not wait for that.
    """
    point, low, high, bare_low = worse
    if (enough and low > _CERTAIN * point > _CERTAIN * allowed) or (
        bare_low > _CERTAIN * point > _CERTAIN * _GROSS * allowed
    ):
        return "fail"
    return "pass" if enough and high < allowed else "unclear"


def _said(state: State, unclear: str) -> str:
    return {"fail": "", "pass": "", "unclear": f"; {unclear}"}[state]


def _absolute(new: Sequence[Window], limits: Limits, confidence: float) -> list[Comparison]:
    """What may never be, whatever the old version does. A few requests are enough to see that it is."""
    found = []
    requests, errors = sum(w.requests for w in new), sum(w.errors for w in new)
    if limits.max_errors is not None and requests:
        low, high = share_bounds(errors, requests, confidence)
        state: State = (
            "fail" if low > limits.max_errors else "pass" if high <= limits.max_errors else "unclear"
        )
        found.append(
            Comparison(
                metric="errors, limit",
                state=state,
                baseline=None,
                canary=errors / requests,
                low=low,
                high=high,
                test="Wilson interval",
                allowed=limits.max_errors,
                why=f"{errors} of {requests} requests failed, the limit is {limits.max_errors:.2%}",
            )
        )
    latencies = sorted(value for window in new for value in window.latencies)
    if limits.max_latency is not None and latencies:
        slow = sum(value > limits.max_latency for value in latencies)
        low, high = share_bounds(slow, len(latencies), confidence)
        state = "fail" if low > 0.01 else "pass" if high <= 0.01 else "unclear"  # noqa: PLR2004 - p99
        found.append(
            Comparison(
                metric="p99 latency, limit",
                state=state,
                baseline=None,
                canary=quantile(latencies, 0.99),
                test="Wilson interval of the share above the limit",
                allowed=limits.max_latency,
                why=f"{slow} of {len(latencies)} requests took longer than {limits.max_latency:g} s",
            )
        )
    return found


def _values(
    old: Sequence[Window], new: Sequence[Window], limits: Limits, confidence: float
) -> list[Comparison]:
    """Further metrics, one number for each window: the Mann-Whitney test, since arms may report at different times."""
    names = sorted({name for window in (*old, *new) for name in window.values} | set(limits.required))
    found = []
    for name in names:
        before = [window.values[name] for window in old if name in window.values]
        after = [window.values[name] for window in new if name in window.values]
        if min(len(before), len(after)) < limits.min_batches:
            state: State = "fail" if name in limits.required and not after else "unclear"
            counts = f"{len(after)} values of the new version and {len(before)} of the old one"
            why = f"{name}: {counts}, {limits.min_batches} of each are needed"
            found.append(Comparison(metric=name, state=state, baseline=None, canary=None, why=why))
            continue
        estimate = shift(before, after, confidence)
        usual = quantile(sorted(before), 0.5)
        size = abs(usual) or 1.0
        logs = Estimate(
            *(
                math.log1p(max(value / size, -1 + 1e-9))
                for value in (estimate.point, estimate.low, estimate.high)
            )
        )
        found.append(
            _compared(
                name,
                (usual, quantile(sorted(after), 0.5)),
                logs,
                limits.value_increase,
                f"Mann-Whitney test of {len(before)} and {len(after)} values, Hodges-Lehmann estimate",
                lower_is_worse=name in limits.lower_is_worse,
            )
        )
    return found
