"""Alarms of a service's deployment: thresholds on what was seen, and what is asked outside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from seatrial.cloud import session
from seatrial.config.deploying import Alarm
from seatrial.deployments.observing import latencies
from seatrial.deployments.observing.model import Arm, Second
from seatrial.errors import MissingToolError, UsageError
from seatrial.readiness import free_port
from seatrial.services import alarms
from seatrial.services.model import control_of
from support.answers import Answer, answering
from support.buckets import s3_server
from support.logs import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _arm(requests: int, *, errors: int = 0, took: float = 0.05, **values: float) -> Arm:
    buckets = latencies.histogram([took] * requests)
    return Arm(requests=requests, errors=errors, buckets=buckets, values=values)


def _seconds(count: int = 20, share: float = 10, /, **arms: Arm) -> list[Second]:
    names = {"new": "r-new", "old": "r-old", "control": control_of("r-old"), "nobody": ""}
    named = {names[name]: arm for name, arm in arms.items()}
    return [Second(at=START + at, arms=named, share=share) for at in range(count)]


def _ring(alarm: dict[str, Any], seconds: list[Second]) -> alarms.Ring:
    return alarms.threshold("bad", msgspec.convert(alarm, Alarm), seconds, new="r-new", old="r-old")


@pytest.mark.parametrize(
    ("alarm", "arms", "said"),
    [
        ({"metric": "errors", "above": 0.01}, {"new": _arm(100, errors=4)}, "bad: errors of r-new were 4 % over 10 s, more than 1 %"),
        ({"metric": "errors", "above": 0.01, "of": "old"}, {"old": _arm(100, errors=4)}, "errors of r-old"),
        ({"metric": "errors", "above": 0.01, "of": "all"}, {"new": _arm(50), "nobody": _arm(1, errors=1)}, "errors of all versions were 1.96 %"),
        ({"metric": "errors", "above": 0.01, "of": "old"}, {"old": _arm(50), "control": _arm(50, errors=2)}, "errors of r-old were 2 %"),
        ({"metric": "requests", "above": 3, "of": "all"}, {name: _arm(1) for name in ("new", "old", "control", "nobody")}, "requests of all versions were 4 a second"),
        ({"metric": "latency", "above": 0.04}, {"new": _arm(10)}, "latency of r-new was 50.1 ms over 10 s, more than 40 ms"),
        ({"metric": "p50", "above": 0.04}, {"new": _arm(10)}, "p50 of r-new was"),
        ({"metric": "p95", "above": 0.04}, {"new": _arm(10)}, "p95 of r-new was"),
        ({"metric": "p99", "above": 0.04}, {"new": _arm(10)}, "p99 of r-new was"),
        ({"metric": "p99", "below": 0.06}, {"new": _arm(10)}, "less than 60 ms"),
        ({"metric": "requests", "above": 9}, {"new": _arm(10)}, "requests of r-new were 10 a second over 10 s, more than 9 a second"),
        ({"metric": "requests", "below": 1}, {"old": _arm(10)}, "requests of r-new were 0 a second over 10 s, less than 1 a second"),
        ({"metric": "queue", "above": 3}, {"new": _arm(1, queue=4.5)}, "queue of r-new was 4.5 over 10 s, more than 3"),
        ({"metric": "queue", "below": 5, "seconds": 3}, {"new": _arm(0, queue=4.5)}, "queue of r-new was 4.5 over 3 s, less than 5"),
    ],
)  # fmt: skip
def test_a_metric_beyond_its_threshold_rings_with_the_numbers(
    alarm: dict[str, Any], arms: dict[str, Arm], said: str
) -> None:
    found = _ring(alarm, _seconds(**arms))
    assert found.on
    assert said in found.why
    harder = {"above": alarm.get("above", 0) * 100} if "above" in alarm else {"below": 0}
    assert not _ring({**alarm, **harder}, _seconds(**arms)).on


@pytest.mark.parametrize(
    ("alarm", "seconds", "said"),
    [
        ({"metric": "errors", "above": 0.01}, _seconds(5, new=_arm(1, errors=1)), "5 of at least 10 requests"),
        ({"metric": "p99", "above": 0.01}, _seconds(new=_arm(9)), "90 of at least 100 requests"),
        ({"metric": "p95", "above": 0.01}, _seconds(new=_arm(1)), "10 of at least 20 requests"),
        ({"metric": "queue", "above": 1}, _seconds(new=_arm(9)), "it was not measured"),
        ({"metric": "errors", "above": 0.01}, _seconds(1, new=_arm(50, errors=1)), "1 of 50 requests failed, too few"),
        ({"metric": "requests", "below": 1}, _seconds(5), "not over yet"),
        ({"metric": "requests", "below": 1}, _seconds(20, 0), "no seconds to see"),
        ({"metric": "errors", "above": 0.01}, [], "0 of at least 10 requests"),
    ],
)  # fmt: skip
def test_too_little_to_tell_is_no_alarm_and_is_said(
    alarm: dict[str, Any], seconds: list[Second], said: str
) -> None:
    found = _ring(alarm, seconds)
    assert not found.on
    assert said in found.why


def test_what_is_longer_ago_does_not_ring() -> None:
    bad = _seconds(10, new=_arm(100, errors=50))
    good = [msgspec.structs.replace(one, at=one.at + 10) for one in _seconds(10, new=_arm(100))]
    assert not _ring({"metric": "errors", "above": 0.01}, [*bad, *good]).on
    assert _ring({"metric": "errors", "above": 0.01, "seconds": 11}, [*bad, *good]).on


def _first(wanted: dict[str, Alarm], cwd: Path | None = None) -> str:
    return alarms.ringing(wanted, _seconds(new=_arm(100)), new="r-new", old="r-old", cwd=cwd)


def test_a_url_must_answer_well() -> None:
    with answering([Answer(), Answer(status=503)]) as server:
        wanted = {"up": Alarm(url=f"{server.url}/state")}
        assert _first(wanted) == ""
        assert _first(wanted) == f"up: {server.url}/state: 503"
    nobody = f"http://127.0.0.1:{free_port()}/"
    assert nobody in _first({"up": Alarm(url=nobody)})


def test_a_program_must_end_well(tmp_path: Path) -> None:
    (tmp_path / "state.py").write_text("import sys; sys.exit('the disk is full')")
    assert _first({"fine": Alarm(command=(sys.executable, "-c", ""))}) == ""
    said = _first({"disk": Alarm(command=(sys.executable, "state.py"))}, tmp_path)
    assert said.startswith("disk: ")
    assert said.endswith("ended with 1: the disk is full")
    assert "not installed" in _first({"disk": Alarm(command=("no-such-program-here",))})


@pytest.fixture(scope="module")
def cloudwatch() -> Iterator[Any]:
    with s3_server():
        yield session.client("cloudwatch", "us-east-1")


def test_an_alarm_of_cloudwatch_must_not_be_on(cloudwatch: Any) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName="slow",
        MetricName="latency",
        Namespace="app",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Average",
        Threshold=1,
    )
    wanted = {"aws": Alarm(cloudwatch="slow")}
    for state in ("OK", "INSUFFICIENT_DATA"):
        cloudwatch.set_alarm_state(AlarmName="slow", StateValue=state, StateReason="as it is")
        assert _first(wanted) == ""
    cloudwatch.set_alarm_state(AlarmName="slow", StateValue="ALARM", StateReason="latency is 2")
    assert _first(wanted) == "aws: the alarm slow of CloudWatch is in ALARM: latency is 2"
    assert "has no alarm slow in eu-west-1" in _first({"aws": Alarm(cloudwatch="slow", region="eu-west-1")})


def test_an_alarm_of_cloudwatch_that_cannot_be_asked_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    assert "no usable AWS credentials" in _first({"aws": Alarm(cloudwatch="slow", region="eu-west-1")})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "exactly one of"),
        ({"url": "http://x/", "command": ["true"]}, "url and command"),
        ({"metric": "errors"}, "above or below"),
        ({"url": "http://x/", "above": 1}, "above or below"),
        ({"metric": "quue", "above": 1}, "not measured"),
    ],
)
def test_an_alarm_that_cannot_work_is_refused_before_anything_begins(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        alarms.check({"bad": msgspec.convert(given, Alarm)}, ["queue"])
    assert said in str(raised.value)


def test_alarms_are_checked_for_programs_and_number() -> None:
    alarms.check({"queue": Alarm(metric="queue", above=1), "up": Alarm(command=("true",))}, ["queue"])
    with pytest.raises(MissingToolError, match="no-such-program-here"):
        alarms.check({"x": Alarm(command=("no-such-program-here",))})
    with pytest.raises(UsageError, match="more than 10"):
        alarms.check({f"a{n}": Alarm(url="http://x/") for n in range(11)})
