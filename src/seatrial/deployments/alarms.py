"""Whether something is wrong while a group is deployed to: programs and URLs that are asked here or on hosts."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

from seatrial import processes
from seatrial.deployments import groups, records
from seatrial.deployments.groups import Group
from seatrial.deployments.hosts import asking, probe
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
    if not alarm.on_hosts:
        return not (ends_well(alarm.argv) if alarm.argv else probe.ask(alarm.url))[0]
    argv = list(alarm.argv) or [sys.executable, "-m", "seatrial.deployments.hosts.probe", alarm.url]
    return any(_fails_on(home, name, argv) for name in good)


def ends_well(argv: Sequence[str], *, cwd: Path | None = None) -> tuple[bool, str]:
    """Whether a program ends with 0, and how it ended. One that does not end in time is no good news.

    Raises:
        MissingToolError: there is no such program.
    """
    try:
        done = processes.run(argv, cwd=cwd, timeout=_PATIENCE)
    except MissingToolError:
        raise
    except SeatrialError as error:
        return False, error.what
    last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
    return done.code == 0, f"{argv[0]} ended with {done.code}" + (f": {last[:200]}" if last else "")


def _fails_on(home: Path, name: str, argv: list[str]) -> bool:
    place = hosts.known(home, name)
    try:
        order = f"a-{secrets.token_hex(6)}"
        return place is None or asking.give(place, order, argv, timeout=_PATIENCE)["code"] != 0
    except SeatrialError:
        return True
