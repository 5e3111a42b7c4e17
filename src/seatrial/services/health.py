"""Whether a new version's instances live, as far as their keeper and the load balancer say. A pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from seatrial.services.model import Actual, Instance, Wanted

PATIENCE = 15.0
"""Seconds for which a version may have no instance that is ready, as while one is started again."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What was known at the last look: `restarts` by port, `none` since when no instance is ready (0: one is), and
    `sick`, what is so wrong that the version cannot stay ('' nothing).
    """

    restarts: dict[int, int] = {}
    none: float = 0.0
    sick: str = ""


def look(
    before: Health, wanted: Wanted, actual: Actual, revision: str, now: float
) -> tuple[Health, list[str]]:
    """The health of a revision now, and what is new in words."""
    those = [one for one in actual.instances if one.revision == revision and one.state != "draining"]
    if not any(wish.revision == revision for wish in wanted.instances):
        return before, []
    said = [
        _again(one) for one in those if before.restarts.get(one.port, 0) < one.restarts and one.state != "failing"
    ]  # fmt: skip
    failing = next((one for one in those if one.state == "failing"), None)
    none = 0.0 if any(one.state == "ready" for one in those) else before.none or now
    sick = ""
    if failing is not None:
        sick = f"{_where(failing)} has ended {failing.ended} times in a minute" + _words(failing)
    elif none and now - none >= PATIENCE:
        sick = f"no instance of {revision} has been ready for {now - none:.0f} s"
    return Health(restarts={one.port: one.restarts for one in those}, none=none, sick=sick), said


def _again(one: Instance) -> str:
    return f"{_where(one)} has ended and was started again ({one.restarts} times)" + _words(one)


def _where(one: Instance) -> str:
    return f"the instance of {one.revision} on port {one.port}"


def _words(one: Instance) -> str:
    return f": {one.why}" if one.why else ""
