"""Seconds as the judge, alarms and reports want them."""

from __future__ import annotations

import random

import pytest

from seatrial.deployments.analysis.judge import judge
from seatrial.deployments.observing import latencies, windows
from seatrial.deployments.observing.model import Arm, Part, Second
from support.logs import START


def _arm(*took: float, errors: int = 0, **values: float) -> Arm:
    return Arm(requests=len(took), errors=errors, buckets=latencies.histogram(took), values=values)


def _second(at: int, **arms: Arm) -> Second:
    return Second(at=START + at, arms=arms, share=10)


def test_windows_of_all_revisions_have_the_same_stretches() -> None:
    seconds = [
        _second(0, old=_arm(0.1), new=_arm(0.2)),
        _second(1, old=_arm(0.3, 0.1, errors=1)),
        _second(4, new=_arm(0.2)),
        _second(5),
    ]
    old, new = (windows.of(seconds, name, 2) for name in ("old", "new"))
    assert [one.start - START for one in old] == [one.start - START for one in new] == [0, 4]
    assert [(one.requests, one.errors) for one in old] == [(3, 1), (0, 0)]
    assert [len(one.latencies) for one in old] == [3, 0]
    assert list(old[0].latencies) == sorted(old[0].latencies)
    assert sum(old[0].latencies) == pytest.approx(0.5, rel=0.01)


def test_metrics_are_averaged_and_rates_are_taken_by_request() -> None:
    """A version with a tenth of the traffic makes a tenth of the tokens in a second, and as many for a request."""
    seconds = [
        _second(at, old=_arm(*[0.1] * 90, tokens=900.0, memory=2.0), new=_arm(*[0.1] * 10, tokens=100.0, memory=3.0))
        for at in range(20)
    ]  # fmt: skip
    old, new = (windows.of(seconds, name, per_request=["tokens", "none"]) for name in ("old", "new"))
    assert {one.values["tokens"] for one in (*old, *new)} == {10.0}
    assert new[0].values["memory"] == 3.0
    silent = windows.of([_second(0, new=_arm(tokens=5.0))], "new", per_request=["tokens"])
    assert silent[0].values == {}


def test_much_traffic_is_thinned_without_another_verdict() -> None:
    chance = random.Random(3)

    def arm(median: float) -> Arm:
        return _arm(*(median * chance.lognormvariate(0, 0.4) for _ in range(2600)))

    seconds = [_second(at, old=arm(0.05), same=arm(0.05), slow=arm(0.06)) for at in range(24)]
    old, same, slow = (windows.of(seconds, name) for name in ("old", "same", "slow"))
    assert sum(len(one.latencies) for one in old) <= 60_000
    assert judge(old, same).decision == "promote"
    assert judge(old, slow).decision == "roll back"


def test_totals_are_of_all_revisions_and_the_split_of_those_that_answered() -> None:
    seconds = [
        Second(
            at=START + at,
            arms={"old": _arm(*[0.1] * 89), "new": _arm(*[0.1] * 11, errors=2), "": _arm(0.1, errors=1)},
            parts=[Part(share=10, since=START, requests={"old": 89, "new": 11, "": 1})],
        )
        for at in range(10)
    ]
    found = windows.totals(seconds, "new")
    assert (found.requests, found.failures, found.unanswered) == (1010, 30, 10)
    assert found.revisions == {"old": 890, "new": 110}
    (split,) = found.splits
    assert (split.requests, split.new, split.actual, split.off) == (1000, 110, 11, 1)
    assert windows.totals([], "new").splits == ()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 0.99, 1.0])
def test_quantiles_are_right_to_a_percent(share: float) -> None:
    chance = random.Random(5)
    took = sorted(chance.lognormvariate(-4, 1.0) for _ in range(3001))
    parts = [latencies.histogram(took[start::3]) for start in range(3)]
    found = latencies.quantile(latencies.together(parts), share)
    assert found == pytest.approx(took[round(share * 3000)], rel=0.01)
    assert latencies.mean(latencies.together(parts)) == pytest.approx(sum(took) / len(took), rel=0.01)


def test_no_latencies_have_no_quantile() -> None:
    assert latencies.quantile([], 0.5) is None
    assert latencies.mean([]) is None
    assert latencies.values([]) == []


def test_latencies_below_a_microsecond_are_no_error() -> None:
    assert latencies.values(latencies.histogram([0.0, 1e-9])) == pytest.approx([1e-6, 1e-6], rel=0.01)
