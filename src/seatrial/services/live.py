"""What a deployment is doing now: read again and again from what it writes down, each thing once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.observing import latencies
from seatrial.deployments.observing import seconds as observed
from seatrial.services import records
from seatrial.services.headlines import headline
from seatrial.services.picture import Version, version_of
from seatrial.services.shift import strategy_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.deployments.observing.model import Second
    from seatrial.deployments.shifting.progress import Shift
    from seatrial.deployments.shifting.strategy import Strategy
    from seatrial.services.records import Event, Part, ServiceDeployment

WINDOW = 10
"""Seconds that rates and latencies are about."""


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What one version does: its share in percent of the requests of both versions, requests and failures, all of the
    last seconds. Latencies are in seconds; None where there were no requests.
    """

    share: float | None = None
    rate: float = 0.0
    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service: its versions' ids, what they do now, and what was found out about them last."""

    service: str
    old: str
    new: str
    versions: dict[Version, Now]
    verdict: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment at a moment. `step` counts from 1 and is 0 before the shift; `left` is how many seconds its steps
    take at least from now on, None when it is held or nothing is known, and `waited` how long this step has lasted
    beyond its time for want of evidence.
    """

    at: float
    deployment: ServiceDeployment
    shift: Shift | None
    step: int
    steps: int
    left: float | None
    waited: float
    services: tuple[Service, ...]
    fresh: tuple[Event, ...]
    seconds: int


class Follower:
    """Reads what a deployment writes; each `look` goes on where the one before ended."""

    def __init__(self, home: Path, identifier: str) -> None:
        self.home, self.id = home, identifier
        self._events = 0
        self._offsets: dict[str, int] = {}
        self._last: dict[str, deque[Second]] = {}
        self._verdicts: dict[str, str] = {}

    def look(self, now: float) -> Snapshot:
        """The deployment now, with the events that are new and how many new seconds were read."""
        one = records.load(self.home, self.id)
        fresh, self._events = records.told_since(self.home, self.id, self._events)
        for event in fresh:
            if event.kind == "verdict" and (words := headline(event)):
                for part in one.parts:
                    if event.service in ("", part.service):
                        self._verdicts[part.service] = words
        read = sum(self._read(part) for part in one.parts)
        shift = records.shift_of(self.home, self.id)
        strategy = strategy_of(one)
        step, steps, left = _where(strategy, shift, one, now)
        return Snapshot(
            at=now,
            deployment=one,
            shift=shift,
            step=step,
            steps=steps,
            left=left,
            waited=_waited(strategy, shift, now) if left is not None else 0.0,
            services=tuple(self._service(part) for part in one.parts),
            fresh=tuple(fresh),
            seconds=read,
        )

    def _read(self, part: Part) -> int:
        path = records.timeline(self.home, self.id, part.service)
        fresh, self._offsets[part.service] = observed.after(path, self._offsets.get(part.service, 0))
        self._last.setdefault(part.service, deque(maxlen=WINDOW)).extend(fresh)
        return len(fresh)

    def _service(self, part: Part) -> Service:
        return Service(
            service=part.service,
            old=part.before,
            new=part.after,
            versions=_now(self._last[part.service], part),
            verdict=self._verdicts.get(part.service, ""),
        )


def data(seen: Snapshot) -> dict[str, Any]:
    """A snapshot as a JSON line, without what is in the deployment's own data."""
    return {
        "kind": "traffic",
        "at": seen.at,
        "id": seen.deployment.id,
        "status": seen.deployment.status,
        "asked": seen.shift.share if seen.shift else None,
        "step": seen.step,
        "steps": seen.steps,
        "left": seen.left,
        "waited": seen.waited,
        "services": msgspec.to_builtins(seen.services),
    }


def _now(seconds: Iterable[Second], part: Part) -> dict[Version, Now]:
    """What each version did in some seconds."""
    seconds = list(seconds)
    counts: dict[Version, list[int]] = {}
    buckets: dict[Version, list[list[int]]] = {}
    for second in seconds:
        for revision, arm in second.arms.items():
            version = version_of(revision, part.before, part.after)
            known = counts.setdefault(version, [0, 0])
            known[0] += arm.requests
            known[1] += arm.errors
            buckets.setdefault(version, []).append(arm.buckets)
    both = sum(counts.get(version, [0])[0] for version in _BOTH)
    found = {}
    for version, (requests, errors) in sorted(counts.items()):
        merged = latencies.together(buckets[version])
        found[version] = Now(
            share=100 * requests / both if both and version in _BOTH else None,
            rate=requests / len(seconds),
            requests=requests,
            errors=errors,
            p50=latencies.quantile(merged, 0.5),
            p95=latencies.quantile(merged, 0.95),
            p99=latencies.quantile(merged, 0.99),
        )
    return found


def _where(
    strategy: Strategy, shift: Shift | None, one: ServiceDeployment, now: float
) -> tuple[int, int, float | None]:
    """The step, how many there are, and how many seconds are left at least."""
    steps = strategy.steps
    if shift is None or one.ended is not None:
        return 0, len(steps), None
    if shift.status != "shifting" or shift.step >= len(steps):
        return shift.step + 1, len(steps), None
    this = max(0.0, steps[shift.step].seconds - (now - shift.since))
    return shift.step + 1, len(steps), this + sum(step.seconds for step in steps[shift.step + 1 :])


def _waited(strategy: Strategy, shift: Shift | None, now: float) -> float:
    if shift is None:
        return 0.0
    return max(0.0, now - shift.since - strategy.steps[shift.step].seconds)


_BOTH: tuple[Version, ...] = ("old", "new")
