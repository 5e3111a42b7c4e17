"""Which verdict traffic gets. The error rates over 1,000 simulations each are in bench/analysis.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from seatrial.deployments.analysis.explain import explain
from seatrial.deployments.analysis.judge import judge
from seatrial.deployments.analysis.model import Judgement, Limits, Window
from support.traffic import Arm, Traffic, generate, traffic

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
SEEDS = range(3)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdicts(case: dict[str, Any]) -> None:
    limits = msgspec.convert(case.get("limits", {}), Limits)
    found = [judge(*generate(traffic(case["traffic"]), seed), limits) for seed in SEEDS]
    wrong = [
        (seed, one.decision, one.why)
        for seed, one in zip(SEEDS, found, strict=True)
        if one.decision not in case["verdicts"]
    ]
    assert not wrong


def _judged(limits: Limits | None = None, looks: int = 1, seed: int = 1, **given: Any) -> Judgement:
    return judge(*generate(Traffic(**given), seed), limits, looks=looks)


@pytest.mark.parametrize(
    ("new", "metric"),
    [
        (Arm(latency=0.07), "p50 latency"),
        (Arm(errors=0.05), "errors"),
        (Arm(latency=0.0435, slow=0.05, slower=6), "requests above p99"),
        (Arm(spread=0.9), "latency spread"),
    ],
)
def test_the_metric_that_decided_stands_first_with_its_numbers_and_test(new: Arm, metric: str) -> None:
    found = _judged(windows=120, new=new)
    failing = [one for one in found.comparisons if one.state == "fail"]
    assert metric in {one.metric for one in failing}
    assert found.comparisons[: len(failing)] == tuple(failing)
    for one in failing:
        assert one.test, one
        assert one.low is not None, one
        assert one.change is not None
        assert one.low <= one.change
        assert one.why in found.why


def test_what_is_missing_is_said() -> None:
    assert (
        "42 of at least 500"
        in judge(
            [Window(start=0, requests=900, latencies=(0.1,) * 900)],
            [Window(start=0, requests=42, latencies=(0.1,) * 42)],
        ).why
    )
    assert "answered no request" in judge([Window(start=0, requests=900, latencies=(0.1,) * 900)], []).why


def test_more_looks_ask_for_more_certainty() -> None:
    """Who looks ten times has ten chances to be wrong."""
    once, often = (_judged(looks=looks, windows=120) for looks in (1, 10))
    width = [next(one for one in found.comparisons if one.metric == "p50 latency") for found in (once, often)]
    assert width[1].high - width[1].low > width[0].high - width[0].low  # type: ignore[operator]


def test_constant_latencies_are_no_error() -> None:
    """A service that always takes the same time has no spread."""
    arm = [Window(start=i, requests=50, latencies=(0.1,) * 50) for i in range(60)]
    assert judge(arm, arm).decision == "promote"
    slow = [Window(start=i, requests=50, latencies=(0.15,) * 50) for i in range(60)]
    assert judge(arm, slow).decision == "roll back"


def test_identical_versions_are_hardly_ever_rolled_back() -> None:
    found = Counter(_judged(seed=seed, windows=30, common=0.3).decision for seed in range(60))
    assert found["roll back"] <= 2, found


def test_a_version_slower_by_a_fifth_is_hardly_ever_promoted() -> None:
    found = Counter(
        _judged(seed=seed, windows=60, common=0.3, new=Arm(latency=0.06)).decision for seed in range(40)
    )
    assert found["promote"] <= 2, found
    assert found["roll back"] >= 28, found


def test_a_difference_below_the_clock_is_not_called_one() -> None:
    """Of 2 ms in whole milliseconds, a fifth is nothing that anybody has seen."""
    old, new = (Arm(latency=value, tick=0.001) for value in (0.002, 0.0024))
    found = _judged(windows=240, old=old, new=new)
    typical = next(one for one in found.comparisons if one.metric == "p50 latency")
    assert typical.state == "pass"
    assert typical.why.endswith("allowed 1 ms")
    assert typical.allowed == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize(
    ("given", "beginning", "lines"),
    [
        ({"windows": 240}, "promote: 5 good (", ["good     p50 latency ", "good     errors: 0.00% of"]),
        (
            {"windows": 120, "new": Arm(latency=0.07)},
            "roll back: 1 worse",
            ["worse    p50 latency 7", "[signed-rank test of 24 pairs, Hodges-Lehmann estimate]"],
        ),
        ({"windows": 13}, "hold: ", ["unclear  ", "not certain yet"]),
    ],
    ids=["promote", "roll back", "hold"],
)
def test_a_verdict_is_explained_line_by_line(given: dict[str, Any], beginning: str, lines: list[str]) -> None:
    found = explain(_judged(**given))
    assert found[0].startswith(beginning), found
    assert "requests of the new version and" in found[0]
    assert len(found) == 6
    for text in lines:
        assert any(text in line for line in found[1:]), found


def test_a_verdict_for_want_of_traffic_is_explained() -> None:
    arm = [Window(start=0, requests=42, latencies=(0.1,) * 42)]
    (line,) = explain(judge(arm, arm))
    assert line.startswith("hold: the new version has answered 42 of at least 500 requests (42 requests")
