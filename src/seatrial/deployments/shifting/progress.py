"""What to do next in a shift of traffic: a pure function of the strategy, where the shift is, and what has been seen.

Rolling back always comes first, also in the bake time and after a person has asked to hold. Evidence that is not clear
holds the shift where it is; when it stays unclear longer than it may, the shift waits for a person (or rolls back).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from seatrial.deployments.analysis.model import Decision
    from seatrial.deployments.shifting.strategy import Strategy

Request = Literal["", "promote", "hold", "continue", "roll back"]
Status = Literal["shifting", "held", "promoted", "rolled back"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`patience` is how many seconds a step may last beyond its time for want of evidence, and `unclear` what then."""

    patience: float = 600.0
    unclear: Literal["hold", "roll back"] = "hold"


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shift is. `since` is when the step began, in seconds of the clock; `held` says that a person must go on.

    `share` is the percentage that the new version has. `why` is the reason for the last change.
    """

    step: int = 0
    since: float = 0.0
    share: float = 0.0
    status: Status = "shifting"
    why: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at a moment: the judge's verdict on this step (none where nothing is judged), an alarm or a hook
    that failed in words, what a person asks for, and whether the new version is healthy.
    """

    now: float
    verdict: Decision | None = None
    because: str = ""
    alarm: str = ""
    request: Request = ""
    healthy: bool = True


def begin(strategy: Strategy, now: float) -> Shift:
    """A shift at its first step."""
    return Shift(
        since=now, share=strategy.steps[0].share, why=f"{strategy.name}: {strategy.steps[0].share:g} %"
    )


def proceed(strategy: Strategy, shift: Shift, seen: Seen, policy: Policy | None = None) -> Shift:
    """The shift after what has been seen; the same one when there is nothing to do yet."""
    policy = policy or Policy()
    if shift.status in ("promoted", "rolled back"):
        return shift
    if reason := _against(seen):
        return _end(shift, "rolled back", 0.0, reason, seen)
    if seen.request == "promote":
        return _end(shift, "promoted", 100.0, "promoted by hand", seen)
    if shift.status == "held":
        return _released(shift, seen) if seen.request == "continue" else shift
    if seen.request == "hold":
        return msgspec.structs.replace(shift, status="held", why="held by hand")
    return _in_time(strategy, shift, seen, policy)


def _in_time(strategy: Strategy, shift: Shift, seen: Seen, policy: Policy) -> Shift:
    elapsed = seen.now - shift.since
    step = strategy.steps[shift.step]
    if elapsed < step.seconds:
        return shift
    if seen.verdict == "hold":
        return _wait(shift, seen, elapsed - step.seconds, policy)
    if shift.step == len(strategy.steps) - 1:
        return _end(shift, "promoted", 100.0, seen.because or "all steps are done", seen)
    following = strategy.steps[shift.step + 1]
    return Shift(
        step=shift.step + 1,
        since=seen.now,
        share=following.share,
        why=seen.because or f"{step.share:g} % for {elapsed:.0f} s",
    )


def _against(seen: Seen) -> str:
    if seen.request == "roll back":
        return "rolled back by hand"
    if seen.alarm:
        return seen.alarm
    if not seen.healthy:
        return "the new version is not healthy"
    return (seen.because or "the new version is worse") if seen.verdict == "roll back" else ""


def _end(shift: Shift, status: Status, share: float, why: str, seen: Seen) -> Shift:
    return Shift(step=shift.step, since=seen.now, share=share, status=status, why=why)


def _released(shift: Shift, seen: Seen) -> Shift:
    """A step that was held begins anew: what was seen before does not count for a time in which nobody looked."""
    return msgspec.structs.replace(shift, status="shifting", since=seen.now, why="continued by hand")


def _wait(shift: Shift, seen: Seen, longer: float, policy: Policy) -> Shift:
    if longer < policy.patience:
        return shift
    why = f"still unclear after {longer:.0f} s more: {seen.because or 'not enough evidence'}"
    if policy.unclear == "roll back":
        return _end(shift, "rolled back", 0.0, why, seen)
    return msgspec.structs.replace(shift, status="held", why=why)
