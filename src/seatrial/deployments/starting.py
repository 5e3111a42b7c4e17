"""Starting a deployment to a group, and going on with one that was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.clock import SystemClock
from seatrial.deployments import deployments, groups, records, revisions
from seatrial.deployments.deployments import Deployment, Limited
from seatrial.deployments.hosts import asking
from seatrial.errors import MissingToolError, SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.deployments.configurations import Configuration
    from seatrial.deployments.groups import Group, RollbackOn
    from seatrial.deployments.revisions import Revision
    from seatrial.engine.journal import Journal


class Wanted(NamedTuple):
    """What a deployment is asked to do; None leaves it to the group."""

    revision: Revision
    configuration: Configuration | None = None
    rollback_on: tuple[RollbackOn, ...] | None = None
    description: str = ""
    overwriting: str = "DISALLOW"
    allow: tuple[str, ...] = ()
    rollback_of: str = ""


def start(journal: Journal, group: Group, wanted: Wanted) -> tuple[Deployment, bool]:
    """The deployment that does what is wanted: the group's unfinished one of the same wish (True), else a new one.

    Raises:
        Limited: the group has another one that has not ended, or a living process is in charge of this one.
    """
    home = journal.home
    now = SystemClock().now()
    for other in deployments.of_group(home, group):
        deployments.settle(journal, home, other, now)
    unfinished = cut_off(journal, group)
    if unfinished is not None and _same(unfinished, group, wanted):
        return unfinished, True
    if unfinished is not None:
        raise Limited(
            f"The Deployment Group '{group.name}' already has an active Deployment '{unfinished.id}'",
            why="it was cut off, and asked for something else",
            fix=f"`seatrial runs resume {unfinished.run}` goes on with it, `seatrial deploy stop {unfinished.id}` ends it",
        )
    with records.changing(home):
        return deployments.create(
            home,
            groups.load(home, group.label),
            wanted.revision,
            now=now,
            configuration=wanted.configuration,
            description=wanted.description,
            rollback_of=wanted.rollback_of,
            rollback_on=wanted.rollback_on,
            overwriting=wanted.overwriting,
            allow=wanted.allow,
        ), False


def cut_off(journal: Journal, group: Group) -> Deployment | None:
    """The deployment of a group whose run has not ended and that nobody is in charge of.

    Of one that was being rolled back it is that one, whose run has the rollback in it.
    """
    for one in deployments.of_group(journal.home, group):
        if not one.run or one.creator != "user" or deployments.in_charge(journal, one):
            continue
        if journal.run(one.run)["ended"] is None:
            return one
    return None


def bring_up(home: Path, group: Group, say: Callable[[str], None]) -> None:
    """Start the hosts of a group that are not there. One that cannot be started fails when its turn comes.

    Raises:
        MissingToolError: this machine lets no host have namespaces of its own.
    """
    for place in groups.members(home, group):
        try:
            asking.start(place)
            if public := asking.ping(place)["public"]:
                say(f"host {place.name} shares {', '.join(public)} with this machine")
        except MissingToolError:
            raise
        except SeatrialError as error:
            say(f"{error.what}" + (f" ({error.why})" if error.why else ""))


def to_roll_back(home: Path, group: Group) -> tuple[Deployment, Revision]:
    """The latest deployment of a group, and the revision that was good before it.

    Raises:
        UsageError: there is none.
    """
    ended = [one for one in deployments.of_group(home, group) if one.status in deployments.ENDED]
    if not ended:
        raise UsageError(f"nothing has been deployed to group {group.label} yet")
    good = deployments.last_good(home, group, other_than=ended[0].revision)
    if good is None and ended[0].status != "Succeeded":
        good = deployments.last_good(home, group)
    if good is None:
        raise UsageError(
            f"group {group.label} has no good revision before {ended[0].revision}",
            fix="`seatrial deploy list` shows what was deployed, `seatrial deploy run --revision ID` deploys any of it",
        )
    return ended[0], revisions.load(home, group.application, good.revision)


def _same(one: Deployment, group: Group, wanted: Wanted) -> bool:
    configuration = wanted.configuration or group.configuration
    return (one.revision, one.configuration.name, one.overwriting, one.allow) == (
        wanted.revision.id,
        configuration.name,
        wanted.overwriting,
        wanted.allow,
    )
