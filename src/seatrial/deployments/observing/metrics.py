"""Numbers that are measured of each version beside what the load balancer sees: Prometheus text, programs and URLs.

What cannot be measured is missing, with the reason, and never zero.
"""

from __future__ import annotations

import math
import os
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import processes
from seatrial.clock import SystemClock
from seatrial.deployments.observing import prometheus
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.config.deploying import Metric

PATIENCE = 10.0
"""Seconds for a program; an instance and a URL have half of it."""
_MOST_BYTES = 16 << 20
_SHOWN = 80

Counters = dict[str, tuple[float, float]]
"""When a series was read, and what it had counted then, by port and labels."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. `value` is None where there is none, and `why` says what is wrong then; '' where nothing is,
    since what counts per second needs two readings. Give `counters` to the next measurement of the same revision.
    """

    value: float | None = None
    why: str = ""
    counters: Counters = {}


def check(metrics: Mapping[str, Metric]) -> None:
    """Refuse metrics that cannot be measured.

    Raises:
        UsageError: a metric has not exactly one source, or its series is not named rightly.
    """
    for name, metric in metrics.items():
        sources = [key for key in ("prometheus", "command", "url") if getattr(metric, key) is not None]
        if len(sources) != 1:
            raise UsageError(
                f"metric {name!r} needs exactly one of prometheus, command and url",
                why=f"it has {' and '.join(sources) or 'none'}",
            )
        if metric.prometheus is not None:
            try:
                prometheus.selector(metric.prometheus)
            except UsageError as error:
                raise UsageError(f"metric {name!r}: {error.what}", why=error.why, fix=error.fix) from error
        elif metric.rate:
            raise UsageError(
                f"metric {name!r} has `rate`, which only a Prometheus series can have",
                fix="let the program or the query answer with what is counted per second",
            )


def per_request(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """The metrics that grow with a version's share of the traffic, and are compared by request therefore."""
    return tuple(name for name, metric in metrics.items() if metric.rate)


def measure(
    metric: Metric,
    revision: str,
    ports: Sequence[int],
    *,
    before: Reading | None = None,
    cwd: Path | None = None,
    clock: Clock | None = None,
) -> Reading:
    """Measure a revision whose instances listen on `ports` of 127.0.0.1. Takes some seconds at most.

    A series that counts is added up over instances, `rate` makes it a number per second; other series and numbers
    that are asked of each instance are averaged. `before` is the last reading. Programs start in `cwd`.
    """
    try:
        if metric.prometheus is not None:
            return _scraped(metric, ports, before, clock or SystemClock())
        if metric.command is not None:
            return Reading(value=_printed(metric.command, revision, ports, cwd))
        return Reading(value=_answered(metric, revision, ports))
    except SeatrialError as error:
        why = ": ".join(filter(None, (error.where, error.what, error.why)))
        return Reading(why=why, counters=before.counters if before else {})


def _scraped(metric: Metric, ports: Sequence[int], before: Reading | None, clock: Clock) -> Reading:
    wanted = prometheus.selector(metric.prometheus or "")
    if not ports:
        raise SeatrialError("there is no instance to ask")
    counters: Counters = {}
    values: list[float] = []
    counts = metric.rate
    for port in ports:
        page = _get(f"http://127.0.0.1:{port}{metric.path}")
        found = prometheus.find(page, wanted)
        if not found.samples:
            raise SeatrialError(f"the instance on port {port} shows no {metric.prometheus}")
        counts = counts or found.counts
        values += [sample.value for sample in found.samples]
        now = clock.now()
        counters |= {f"{port} {one.series}": (now, one.value) for one in found.samples}
    if metric.rate:
        return Reading(value=_rate(counters, before.counters if before else {}), counters=counters)
    return Reading(value=sum(values) if counts else fmean(values))


def _rate(now: Counters, before: Counters) -> float | None:
    """What all series count per second. One that became less was started again, and had been at zero then."""
    known = {key.partition(" ")[0]: moment for key, (moment, _) in before.items()}
    total, measured = 0.0, False
    for key, (moment, count) in now.items():
        earlier = known.get(key.partition(" ")[0])
        if earlier is None or moment <= earlier:
            continue
        was = before.get(key, (earlier, 0.0))[1]
        total += (count - was if count >= was else count) / (moment - earlier)
        measured = True
    return total if measured else None


def _printed(argv: Sequence[str], revision: str, ports: Sequence[int], cwd: Path | None) -> float:
    env = {**os.environ, "REVISION": revision, "PORTS": " ".join(map(str, ports))}
    done = processes.run(argv, cwd=cwd, env=env, timeout=PATIENCE)
    if done.code != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise SeatrialError(f"{argv[0]} ended with {done.code}", why=last[:_SHOWN] or None)
    return _number(done.stdout.strip(), argv[0])


def _answered(metric: Metric, revision: str, ports: Sequence[int]) -> float:
    if metric.url is None:
        raise SeatrialError("the metric has no source")
    address = metric.url.replace("{revision}", revision)
    if "{port}" not in address:
        return _picked(_get(address), metric.value)
    if not ports:
        raise SeatrialError("there is no instance to ask")
    return fmean(_picked(_get(address.replace("{port}", str(port))), metric.value) for port in ports)


def _get(url: str) -> str:
    from seatrial.transport import Retry, connect, place, send

    with connect(retry=Retry(attempts=1), timeout=PATIENCE / 2) as link:
        answer = send(link, "GET", url, limit=_MOST_BYTES)
    if not answer.is_success:
        raise SeatrialError(f"the answer is {answer.status_code}", where=place(url))
    return answer.text


def _picked(text: str, path: str) -> float:
    """The number at `path` of a JSON document: keys and places in lists, joined by dots. It may be written as text."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SeatrialError("the answer is no JSON", why=str(error)) from error
    for part in filter(None, path.split(".")):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise SeatrialError(f"the answer has nothing at {path}", why=f"there is no {part}")
    return _number(found, path or "the answer")


def _number(found: Any, what: str) -> float:
    if not isinstance(found, bool) and isinstance(found, int | float | str):
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
    raise SeatrialError(f"{what}: {str(found)[:_SHOWN]!r} is no number")
