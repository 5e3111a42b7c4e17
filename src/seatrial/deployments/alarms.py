"""Whether something is wrong while a group is deployed to: programs and URLs that are asked here or on hosts."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

from seatrial import processes
from seatrial.deployments import groups, records
from seatrial.deployments.groups import Group
from seatrial.deployments.hosts import asking
from seatrial.deployments.hosts import model as hosts
from seatrial.errors import MissingToolError, SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.deployments.deployments import Deployment
    from seatrial.deployments.groups import Alarm

_PATIENCE = 30.0
"""Seconds for an alarm's program; a URL has fewer."""


def ringing(home: Path, deployment: Deployment, good: Sequence[str]) -> str:
    """The first alarm of the group that is on, or ''; `good` are hosts that have the new revision.

    A rollback is not kept from its work by alarms: it is what they call for.
    """
    if deployment.creator != "user":
        return ""
    group = records.read(groups.path(home, deployment.application, deployment.group), Group)
    return next((alarm.name for alarm in group.alarms if _rings(home, alarm, good)), "") if group else ""


def _rings(home: Path, alarm: Alarm, good: Sequence[str]) -> bool:
    argv = list(alarm.argv) or [sys.executable, "-m", "seatrial.deployments.hosts.probe", alarm.url]
    if not alarm.on_hosts:
        return _fails_here(argv)
    return any(_fails_on(home, name, argv) for name in good)


def _fails_here(argv: list[str]) -> bool:
    try:
        return processes.run(argv, timeout=_PATIENCE).code != 0
    except MissingToolError:
        raise
    except SeatrialError:
        return True  # one that does not answer is no good news


def _fails_on(home: Path, name: str, argv: list[str]) -> bool:
    place = hosts.known(home, name)
    try:
        order = f"a-{secrets.token_hex(6)}"
        return place is None or asking.give(place, order, argv, timeout=_PATIENCE)["code"] != 0
    except SeatrialError:
        return True
