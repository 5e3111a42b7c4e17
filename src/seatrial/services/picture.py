"""A deployment as a picture holds it: traffic, failures and latencies of both versions over time, and what happened.

Seconds are gathered into stretches, so that minutes and days have pictures of the same size.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.deployments.deployments import ENDED
from seatrial.deployments.observing import latencies
from seatrial.services.headlines import headline
from seatrial.services.model import control_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.deployments.observing.model import Arm, Second
    from seatrial.services.records import Event, ServiceDeployment

Version = Literal["old", "new", "other", "none"]
"""Whose traffic: the version that was there, the one that comes, any other one, or nobody's: no instance answered."""
Tone = Literal["", "good", "wait", "bad"]
"""What an event means for the new version."""
_UNMARKED = ("created", "stage", "hook")
"""Events that are left to the phases."""
_STRETCHES = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MOST = 240
"""Stretches that a picture has at most."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did in a stretch. Latencies are in seconds, None without requests."""

    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time. `at` is its beginning in seconds from the picture's; `asked` is the new version's percentage
    that was asked for at its end, `share` the one that it had of the requests which the two versions answered.
    """

    at: float
    asked: float
    share: float | None
    versions: dict[Version, Measured]

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.versions.values())


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One service: its versions' ids ('' when there was none before) and its points, without those of no traffic."""

    service: str
    old: str
    new: str
    points: tuple[Point, ...] = ()
    totals: dict[Version, Measured] = {}


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A lifecycle event, from and until when in seconds from the picture's beginning."""

    name: str
    status: str
    at: float
    until: float


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; `at` is in seconds from the picture's beginning. `service` is '' when it is about all."""

    at: float
    kind: str
    text: str
    service: str = ""
    tone: Tone = ""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment over time. `began` is in whole seconds since the epoch, `seconds` how long it took, `stretch` how
    many seconds a point is about.
    """

    title: str
    status: str
    began: int
    seconds: float
    stretch: int
    running: bool = False
    charts: tuple[Chart, ...] = ()
    phases: tuple[Phase, ...] = ()
    marks: tuple[Mark, ...] = ()


def of(
    deployment: ServiceDeployment,
    events: Iterable[Event],
    seconds: Mapping[str, Iterable[Second]],
    phases: Iterable[tuple[str, str, float, float]],
    *,
    until: float,
) -> Picture:
    """The picture of a deployment up to a moment. `seconds` are by service; `phases` have a name, a status, and when
    they began and ended, in seconds since the epoch.
    """
    began = math.floor(deployment.created)
    took = max(1.0, until - began)
    stretch = stretch_of(took)
    charts = tuple(
        chart(
            part.service,
            (part.before, part.after),
            seconds.get(part.service, ()),
            began=began,
            stretch=stretch,
        )
        for part in deployment.parts
    )
    undoes = f" undoes {deployment.rollback_of}" if deployment.rollback_of else f" by {deployment.strategy}"
    return Picture(
        title=f"{deployment.id}: {deployment.label}{undoes}",
        status=deployment.status,
        began=began,
        seconds=round(took, 3),
        stretch=stretch,
        running=deployment.status not in ENDED,
        charts=charts,
        phases=tuple(
            Phase(name=name, status=status, at=round(max(0.0, start - began), 3), until=round(end - began, 3))
            for name, status, start, end in phases
        ),
        marks=tuple(
            Mark(
                at=round(max(0.0, one.at - began), 3),
                kind=one.kind,
                tone=_tone(one),
                text=words,
                service=one.service,
            )
            for one in sorted(events, key=lambda one: one.at)
            if one.kind not in _UNMARKED and (words := headline(one))
        ),
    )


def stretch_of(seconds: float) -> int:
    """How many seconds a point of a picture of so many seconds is about."""
    return next((one for one in _STRETCHES if seconds / one <= _MOST), math.ceil(seconds / _MOST))


def chart(
    service: str, versions: tuple[str, str], seconds: Iterable[Second], *, began: int, stretch: int
) -> Chart:
    """The chart of a service; `versions` are the ids of the old and the new one, `seconds` in any order. Those before
    `began` are left out.
    """
    old, new = versions
    found: defaultdict[int, _Stretch] = defaultdict(_Stretch)
    whole = _Stretch()
    for one in seconds:
        arms = [(version_of(revision, old, new), arm) for revision, arm in one.arms.items()]
        if one.at < began or not any(arm.requests for _, arm in arms):
            continue
        place = found[(one.at - began) // stretch]
        place.ask(one)
        for version, arm in arms:
            place.count(version, arm)
            whole.count(version, arm)
    points = tuple(found[number].point(number * stretch) for number in sorted(found))
    return Chart(service=service, old=old, new=new, points=points, totals=whole.measured())


def _tone(event: Event) -> Tone:
    if event.kind == "verdict":
        tones: dict[str, Tone] = {"promote": "good", "hold": "wait", "roll back": "bad"}
        return tones.get(str(event.data.get("decision", "")), "")
    if event.kind == "ended":
        return "good" if event.data.get("status") == "Succeeded" else "bad"
    return "bad" if event.kind in ("alarm", "health", "rollback") else "wait" if event.kind == "held" else ""


def version_of(revision: str, old: str, new: str) -> Version:
    """Whose traffic that of a revision is; '' is the revision of requests that no instance answered."""
    if not revision:
        return "none"
    if revision == new:
        return "new"
    return "old" if revision in (old, control_of(old)) else "other"


class _Stretch:
    """What is known of a stretch while seconds are gathered."""

    def __init__(self) -> None:
        self.last, self.asked = -1, 0.0
        self.requests: defaultdict[Version, int] = defaultdict(int)
        self.errors: defaultdict[Version, int] = defaultdict(int)
        self.latencies: defaultdict[Version, Counter[int]] = defaultdict(Counter)

    def ask(self, second: Second) -> None:
        if second.at >= self.last:
            self.last, self.asked = second.at, second.share

    def count(self, version: Version, arm: Arm) -> None:
        if arm.requests:
            self.requests[version] += arm.requests
            self.errors[version] += arm.errors
            buckets = self.latencies[version]
            for bucket, count in latencies.counted(arm.buckets):
                buckets[bucket] += count

    def point(self, at: float) -> Point:
        both = self.requests["old"] + self.requests["new"]
        share = 100 * self.requests["new"] / both if both else None
        return Point(at=at, asked=self.asked, share=share, versions=self.measured())

    def measured(self) -> dict[Version, Measured]:
        names: tuple[Version, ...] = ("old", "new", "other", "none")
        return {name: self._measured(name) for name in names if self.requests[name]}

    def _measured(self, name: Version) -> Measured:
        buckets = latencies.flat(self.latencies[name])
        return Measured(
            requests=self.requests[name],
            errors=self.errors[name],
            p50=_rounded(latencies.quantile(buckets, 0.5)),
            p95=_rounded(latencies.quantile(buckets, 0.95)),
            p99=_rounded(latencies.quantile(buckets, 0.99)),
        )


def _rounded(seconds: float | None) -> float | None:
    """More digits than are known would only be noise."""
    return None if seconds is None else float(f"{seconds:.3g}")
