"""Whether something is wrong with a service while it is deployed to: metrics beyond thresholds, and what is asked outside.

An alarm that cannot be asked is on, for nobody knows that all is well then; AWS CodeDeploy does so, too ("Monitor
deployments with CloudWatch alarms": a deployment stops when the status of an alarm cannot be retrieved). A threshold
without enough requests is off, and says so.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from seatrial import processes
from seatrial.deployments.alarms import ends_well
from seatrial.deployments.hosts import probe
from seatrial.deployments.observing import latencies, windows
from seatrial.errors import SeatrialError, UsageError
from seatrial.services.model import control_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from seatrial.config.deploying import Alarm
    from seatrial.deployments.observing.model import Second
    from seatrial.deployments.observing.windows import Stretch

MOST = 10
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
OWN = ("errors", "requests", "latency", *_QUANTILES)
"""Metrics that need no measuring: the load balancer's log has them."""
_LEAST = 10
"""Requests for a mean or a share. A quantile needs as many as make one request of those beyond it."""


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm, whether it is on, and why, with the numbers."""

    name: str
    on: bool
    why: str


def check(alarms: Mapping[str, Alarm], metrics: Collection[str] = ()) -> None:
    """Refuse alarms that say too little, too much or name what is not there.

    Raises:
        UsageError: says which alarm, and what it needs.
        MissingToolError: the program that an alarm asks is not on this machine.
    """
    if len(alarms) > MOST:
        raise UsageError(f"there are {len(alarms)} alarms, more than {MOST}")
    for name, alarm in alarms.items():
        sources = [
            key for key in ("metric", "url", "command", "cloudwatch") if getattr(alarm, key) is not None
        ]
        if len(sources) != 1:
            raise UsageError(
                f"alarm {name!r} needs exactly one of metric, url, command and cloudwatch",
                why=f"it has {' and '.join(sources) or 'none'}",
            )
        if (alarm.metric is None) != (alarm.above is None and alarm.below is None):
            raise UsageError(f"alarm {name!r} needs above or below with a metric, and only then")
        if alarm.metric is not None and alarm.metric not in (*OWN, *metrics):
            raise UsageError(
                f"alarm {name!r} is about {alarm.metric!r}, which is not measured",
                fix=f"name one of {', '.join((*OWN, *sorted(metrics)))}, or add it to `metrics`",
            )
        if alarm.command is not None and "/" not in alarm.command[0]:
            processes.find(alarm.command[0])


def ringing(
    alarms: Mapping[str, Alarm],
    seconds: Sequence[Second],
    *,
    new: str,
    old: str,
    cwd: Path | None = None,
) -> str:
    """What the first alarm that is on says, or ''. Those that are outside are asked, which may take half a minute."""
    for name, alarm in alarms.items():
        found = (
            asked(name, alarm, cwd=cwd)
            if alarm.metric is None
            else threshold(name, alarm, seconds, new=new, old=old)
        )
        if found.on:
            return found.why
    return ""


# Thresholds


def thresholds(alarms: Mapping[str, Alarm], seconds: Sequence[Second], *, new: str, old: str) -> list[Ring]:
    """All alarms that need nobody to be asked."""
    return [
        threshold(name, alarm, seconds, new=new, old=old)
        for name, alarm in alarms.items()
        if alarm.metric is not None
    ]


def threshold(name: str, alarm: Alarm, seconds: Sequence[Second], *, new: str, old: str) -> Ring:
    """Whether a metric is beyond its threshold over the alarm's last stretch of time.

    `seconds` are those of the deployment, in order, at least of that stretch. Seconds in which the new version had no
    share do not count for it. Too little is only told after the whole stretch.
    """
    known = [one for one in seconds if alarm.of != "new" or one.share > 0]
    end = seconds[-1].at + 1 if seconds else 0
    recent = [one for one in known if one.at >= end - alarm.seconds]
    whole = bool(known) and end - known[0].at >= alarm.seconds
    stretch = windows.together(recent, _those(alarm, recent, new, old))
    what = f"{alarm.metric} of {_who(alarm, new, old)}"
    length = end - recent[0].at if recent else 0
    value, lacks = _value(alarm, stretch, length)
    over = f"over {length} s"
    if value is None:
        return Ring(name=name, on=False, why=f"{name}: {what} is not known {over}: {lacks}")
    said = f"{name}: {what} {'were' if alarm.metric in _MANY else 'was'} {_shown(alarm, value)} {over}"
    if alarm.above is not None and value > alarm.above:
        return Ring(name=name, on=True, why=f"{said}, more than {_shown(alarm, alarm.above)}")
    if alarm.below is not None and value < alarm.below:
        if whole:
            return Ring(name=name, on=True, why=f"{said}, less than {_shown(alarm, alarm.below)}")
        return Ring(name=name, on=False, why=f"{said}, which is not over yet")
    return Ring(name=name, on=False, why=said)


def _those(alarm: Alarm, seconds: Sequence[Second], new: str, old: str) -> Collection[str]:
    """The revisions that an alarm is about. The old version's fresh instances are the old version, too."""
    if alarm.of == "all":
        return {revision for second in seconds for revision in second.arms}
    return (new,) if alarm.of == "new" else (old, control_of(old))


_MANY = ("errors", "requests")


def _who(alarm: Alarm, new: str, old: str) -> str:
    return {"new": new, "old": old or "the old version", "all": "all versions"}[alarm.of]


def _value(alarm: Alarm, stretch: Stretch, length: int) -> tuple[float | None, str]:
    """The metric's value, else what is missing."""
    metric, requests = alarm.metric or "", stretch.requests
    if metric == "requests":
        return requests / length if length else None, "there were no seconds to see"
    if metric not in OWN:
        return stretch.values.get(metric), "it was not measured"
    least = max(_LEAST, round(1 / (1 - _QUANTILES.get(metric, 0.0))))
    if requests < least:
        return None, f"{requests} of at least {least} requests"
    if metric != "errors":
        share = _QUANTILES.get(metric)
        buckets = stretch.buckets
        return latencies.mean(buckets) if share is None else latencies.quantile(buckets, share), ""
    # One failure among few requests is a large share and says little.
    if stretch.errors == 1 and alarm.above is not None and requests * alarm.above < 1:
        return None, f"1 of {requests} requests failed, too few to tell"
    return stretch.errors / requests, ""


def _shown(alarm: Alarm, value: float) -> str:
    if alarm.metric == "errors":
        return f"{value * 100:.3g} %"
    if alarm.metric == "latency" or alarm.metric in _QUANTILES:
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.6g}" + (" a second" if alarm.metric == "requests" else "")


# Outside


def asked(name: str, alarm: Alarm, *, cwd: Path | None = None) -> Ring:
    """Whether an alarm outside is on: a URL, a program that starts in `cwd`, or an alarm of CloudWatch."""
    try:
        if alarm.url is not None:
            good, said = probe.ask(alarm.url)
        elif alarm.command is not None:
            good, said = ends_well(alarm.command, cwd=cwd)
        else:
            good, said = _cloudwatch(alarm.cloudwatch or "", alarm.region or "")
    except SeatrialError as error:
        good, said = False, ": ".join(filter(None, (error.where, error.what, error.why)))
    return Ring(name=name, on=not good, why=f"{name}: {said}")


def _cloudwatch(alarm: str, region: str) -> tuple[bool, str]:
    """Whether an alarm of CloudWatch, of a metric or composite, is not in ALARM."""
    from seatrial.cloud import session

    region = region or os.environ.get("AWS_REGION", "")
    answer = session.ask(
        session.client("cloudwatch", region).describe_alarms,
        "cloudwatch:DescribeAlarms",
        f"the alarm {alarm}",
        AlarmNames=[alarm],
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
    )
    found = [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]
    if not found:
        return False, f"CloudWatch has no alarm {alarm}{f' in {region}' if region else ''}"
    state, why = found[0].get("StateValue", ""), found[0].get("StateReason", "")
    return state != "ALARM", f"the alarm {alarm} of CloudWatch is in {state}{f': {why}' if why else ''}"
