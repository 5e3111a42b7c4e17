"""Seconds put together: windows for the judge, stretches for alarms, and totals of a whole deployment."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.analysis.model import Window
from seatrial.deployments.observing import latencies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from seatrial.deployments.observing.model import Arm, Second

_MOST_LATENCIES = 60_000
"""Of an arm: more do not make a verdict clearer, but slower."""
_LEAST_LATENCIES = 100


def of(
    seconds: Iterable[Second], revision: str, length: int = 1, *, per_request: Collection[str] = ()
) -> list[Window]:
    """What a revision did, in windows of `length` seconds that are the same for every revision.

    Metrics named in `per_request` are rates per second: they are divided by the revision's own requests per second,
    since a version that has a tenth of the traffic does a tenth of the work.
    """
    groups: dict[int, list[Second]] = {}
    for second in seconds:
        groups.setdefault(second.at - second.at % length, []).append(second)
    most = max(_LEAST_LATENCIES, _MOST_LATENCIES // max(1, len(groups)))
    return [
        _window(start, [s.arms[revision] for s in group if revision in s.arms], length, most, per_request)
        for start, group in groups.items()
    ]


def _window(start: int, arms: Sequence[Arm], length: int, most: int, per_request: Collection[str]) -> Window:
    requests = sum(arm.requests for arm in arms)
    measured: dict[str, list[float]] = {}
    for arm in arms:
        for name, value in arm.values.items():
            measured.setdefault(name, []).append(value)
    values = {name: fmean(found) for name, found in measured.items()}
    for name in per_request:
        if name in values and requests:
            values[name] *= length / requests
        else:
            values.pop(name, None)
    return Window(
        start=start,
        requests=requests,
        errors=sum(arm.errors for arm in arms),
        latencies=tuple(latencies.values(latencies.together(arm.buckets for arm in arms), most)),
        values=values,
    )


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Revisions over some time, together. `values` are means of further metrics."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    buckets: tuple[int, ...] = ()
    values: dict[str, float] = {}


def together(seconds: Iterable[Second], revisions: Collection[str]) -> Stretch:
    """What some revisions did in all of these seconds."""
    arms = [arm for second in seconds for revision, arm in second.arms.items() if revision in revisions]
    measured: dict[str, list[float]] = {}
    for arm in arms:
        for name, value in arm.values.items():
            measured.setdefault(name, []).append(value)
    return Stretch(
        requests=sum(arm.requests for arm in arms),
        errors=sum(arm.errors for arm in arms),
        refused=sum(arm.refused for arm in arms),
        buckets=tuple(latencies.together(arm.buckets for arm in arms)),
        values={name: fmean(found) for name, found in measured.items()},
    )


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How traffic was split while `asked` percent were to reach the new version, which was from `since` on.

    `requests` arrived in that time and were answered by an instance, `new` of them by the new version's; `off` is by
    how many percentage points their share differs from what was asked for, None without any.
    """

    asked: float
    since: float
    requests: int
    new: int
    actual: float | None
    off: float | None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment in numbers. `failures` are answers with 5xx, answers that broke off and requests without an answer,
    `refused` those with 4xx, `unanswered` requests that no instance answered; `revisions` are requests by revision.
    """

    requests: int
    failures: int
    refused: int
    unanswered: int
    revisions: dict[str, int]
    splits: tuple[Split, ...]


def totals(seconds: Iterable[Second], new: str) -> Totals:
    """All that was seen of a deployment of the revision `new`."""
    revisions: Counter[str] = Counter()
    failures = refused = 0
    parts: dict[tuple[float, float], Counter[str]] = {}
    for second in seconds:
        for revision, arm in second.arms.items():
            revisions[revision] += arm.requests
            failures += arm.errors
            refused += arm.refused
        for part in second.parts:
            parts.setdefault((part.since, part.share), Counter()).update(part.requests)
    unanswered = revisions.pop("", 0)
    return Totals(
        requests=revisions.total() + unanswered,
        failures=failures,
        refused=refused,
        unanswered=unanswered,
        revisions={revision: count for revision, count in revisions.items() if count},
        splits=tuple(_split(asked, since, parts[since, asked], new) for since, asked in sorted(parts)),
    )


def _split(asked: float, since: float, counts: Counter[str], new: str) -> Split:
    requests = counts.total() - counts[""]
    actual = counts[new] * 100 / requests if requests else None
    return Split(
        asked=asked,
        since=since,
        requests=requests,
        new=counts[new],
        actual=actual,
        off=None if actual is None else actual - asked,
    )
