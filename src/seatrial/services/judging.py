"""When the evidence of a step is looked at, and what several services' verdicts come to. Pure functions.

Who looks more often finds more by chance, so all looks of a deployment are planned beforehand and each is made so much
more carefully. The first is made as soon as there is enough evidence, for a version that is broken should not have its
share for long; the others follow at growing distances, also beyond a step's time while its evidence is unclear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.services.model import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.deployments.analysis.model import Decision, Judgement, Limits
    from seatrial.deployments.shifting.strategy import Step, Strategy

_SECOND = 15.0
"""Seconds until the second look; the following ones are twice as late each, so that long steps have few more."""
_LATEST = 0.75
"""Part of a step's time after which only its end is worth a look."""
_BEYOND = (1 / 16, 1 / 4, 1.0)
_APART = 1.0
"""Seconds between two looks, at least: that is how finely traffic is counted."""


def moments(step: Step, patience: float) -> tuple[float, ...]:
    """When a step's evidence is looked at, in seconds since the step began."""
    if not step.share:
        return ()
    found, later = [0.0], _SECOND
    while later <= _LATEST * step.seconds:
        found.append(later)
        later *= 2
    found.append(step.seconds)
    if step.share < ALL:
        found += [step.seconds + patience * part for part in _BEYOND]
    kept: list[float] = []
    for moment in found:
        if not kept or moment - kept[-1] >= _APART:
            kept.append(moment)
    return tuple(kept)


def planned(strategy: Strategy, patience: float) -> int:
    """How many looks there are in all, at most."""
    return max(1, sum(len(moments(step, patience)) for step in strategy.steps))


def due(step: Step, patience: float, elapsed: float) -> int:
    """How many of a step's looks should have been made by now."""
    return sum(moment <= elapsed for moment in moments(step, patience))


def counts(judgement: Judgement, limits: Limits) -> bool:
    """Whether there was enough to compare: else the look has not been made yet."""
    return min(judgement.requests) >= limits.min_requests and judgement.batches >= limits.min_batches


def decision(judgement: Judgement, share: float) -> Decision | None:
    """What follows from a judgement. With all the traffic there is nothing to compare with: only what may never be
    counts, and time.
    """
    if share >= ALL:
        return "roll back" if judgement.decision == "roll back" else None
    return judgement.decision


def together(
    found: Iterable[tuple[str, Decision | None, str]], *, named: bool
) -> tuple[Decision | None, str]:
    """The verdict on all services: one that is to be rolled back takes all along, and one that is unclear holds all.

    `found` are the service, its verdict (None: not judged) and why; `named` says that the reason names the service.
    """
    known = [one for one in found if one[1] is not None]
    for wanted in ("roll back", "hold", "promote"):
        those = [one for one in known if one[1] == wanted]
        if those:
            return wanted, "; ".join(_said(one[0], one[2], named=named) for one in those)
    return None, ""


def _said(service: str, why: str, *, named: bool) -> str:
    return f"{service}: {why}" if named else why
