"""Deployment groups: which hosts, how many at a time, and what happens when a deployment does not go well."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from seatrial.deployments import records
from seatrial.deployments.configurations import Configuration  # noqa: TC001 - msgspec reads the annotation
from seatrial.deployments.hosts import model as hosts
from seatrial.deployments.hosts.model import Isolation, Place
from seatrial.deployments.rollout import Host
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

RollbackOn = Literal["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]
SHORT: dict[str, RollbackOn] = {
    "failure": "DEPLOYMENT_FAILURE",
    "alarm": "DEPLOYMENT_STOP_ON_ALARM",
    "stop": "DEPLOYMENT_STOP_ON_REQUEST",
}
MOST_ALARMS = 10
_SUFFIX = ".json"


class Alarm(msgspec.Struct, frozen=True):
    """Something that must hold while a group is deployed to: a program that ends with 0, or a URL that answers 2xx.

    It is asked here, or with `on_hosts` on each host that has the new revision.
    """

    name: str
    argv: tuple[str, ...] = ()
    url: str = ""
    on_hosts: bool = False


class Known(msgspec.Struct, frozen=True):
    """How the last deployment to a host ended, and the revision it brought; '' when that is not known."""

    health: Literal["healthy", "unhealthy"]
    revision: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment group. `id` names its folder on every host. Times are in seconds since the epoch.

    `last_good` is the latest deployment that succeeded, `known` what is known of each host.
    """

    application: str
    name: str
    id: str
    hosts: tuple[str, ...]
    configuration: Configuration
    rollback_on: tuple[RollbackOn, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    created: float = 0
    last_good: str = ""
    known: dict[str, Known] = {}

    @property
    def label(self) -> str:
        return f"{self.application}/{self.name}"


def split(reference: str) -> tuple[str, str]:
    """Application and name of `APPLICATION/GROUP`.

    Raises:
        UsageError: it is none.
    """
    application, slash, name = reference.partition("/")
    if not slash:
        raise UsageError(
            f"{reference!r} is no group", fix="name it as APPLICATION/GROUP, as in web/production"
        )
    return records.check_name("an application", application), records.check_name("a group", name)


def path(home: Path, application: str, name: str) -> Path:
    """The file of a group."""
    return records.folder(home, "groups", application) / f"{name}{_SUFFIX}"


def load(home: Path, reference: str) -> Group:
    """The group `APPLICATION/GROUP`.

    Raises:
        UsageError: there is none.
    """
    application, name = split(reference)
    found = records.read(path(home, application, name), Group)
    if found is None:
        raise UsageError(
            f"No Deployment Group found for name: {name}, in the application {application}",
            fix="`seatrial deploy groups list` shows the groups, `seatrial deploy groups create` makes one",
        )
    return found


def every(home: Path) -> list[Group]:
    """All groups, by application and name."""
    place = records.folder(home, "groups")
    applications = sorted(place.iterdir()) if place.is_dir() else []
    return [group for application in applications for group in records.all_in(application, Group)]


def save(home: Path, group: Group) -> None:
    """Write a group down."""
    records.write(path(home, group.application, group.name), group)


def create(
    home: Path,
    reference: str,
    members: Sequence[Place],
    configuration: Configuration,
    *,
    rollback_on: Sequence[RollbackOn] = (),
    alarms: Sequence[Alarm] = (),
    now: float,
) -> Group:
    """Make a group and write down its hosts.

    Raises:
        UsageError: there is such a group already, it has no hosts, or CodeDeploy would refuse its settings.
    """
    application, name = split(reference)
    group = Group(
        application=application,
        name=name,
        id=str(uuid.uuid4()),
        hosts=_names(members),
        configuration=configuration,
        rollback_on=tuple(rollback_on),
        alarms=tuple(alarms),
        created=now,
    )
    check(group)
    with records.changing(home):
        if path(home, application, name).exists():
            raise UsageError(
                f"Deployment group name '{name}' already exists in the application {application}",
                fix=f"`seatrial deploy groups update {reference}` changes it",
            )
        _enter(home, members)
        save(home, group)
    return group


def update(home: Path, group: Group, members: Sequence[Place] | None = None) -> Group:
    """Write changed settings down, and other hosts when `members` are given. What is known of hosts stays.

    Raises:
        UsageError: CodeDeploy would refuse the settings.
    """
    if members is not None:
        group = msgspec.structs.replace(group, hosts=_names(members))
    check(group)
    with records.changing(home):
        latest = load(home, group.label)
        _enter(home, members or ())
        kept = {name: known for name, known in latest.known.items() if name in group.hosts}
        group = msgspec.structs.replace(group, known=kept, last_good=latest.last_good)
        save(home, group)
    return group


def check(group: Group) -> None:
    """Whether CodeDeploy would take the settings of a group.

    Raises:
        UsageError: it would not, in its words where they are known.
    """
    if not group.hosts:
        raise UsageError(f"group {group.label} has no hosts", fix="name them: --host NAME=FOLDER")
    if len(group.alarms) > MOST_ALARMS:
        raise UsageError(f"Deployment Groups cannot contain more than {MOST_ALARMS} alarms.")
    names = [alarm.name for alarm in group.alarms]
    if len(set(names)) != len(names):
        raise UsageError("two alarms have the same name", fix="give each alarm its own name")
    if "DEPLOYMENT_STOP_ON_ALARM" in group.rollback_on and not group.alarms:
        raise UsageError(
            "Deployment Groups need to have at least one alarms attached if they are monitored.",
            fix="add --alarm, or leave `alarm` out of --rollback-on",
        )


def members(home: Path, group: Group) -> list[Place]:
    """The hosts of a group.

    Raises:
        SeatrialError: the record of one is missing.
    """
    found = []
    for name in group.hosts:
        place = hosts.known(home, name)
        if place is None:
            raise SeatrialError(
                f"host {name} of group {group.label} is not written down any more",
                fix=f"`seatrial deploy groups update {group.label} --host NAME=FOLDER …` names the hosts anew",
            )
        found.append(place)
    return found


def for_rollout(home: Path, group: Group, revision: str) -> tuple[Host, ...]:
    """The hosts as a deployment of `revision` finds them."""
    found = []
    for place in members(home, group):
        known = group.known.get(place.name)
        if known is None:
            found.append(Host(place.name, place.zone))
        else:
            has = "unknown" if not known.revision else "current" if known.revision == revision else "old"
            found.append(Host(place.name, place.zone, known.health, has))  # type: ignore[arg-type]
    return tuple(found)


def delete(home: Path, group: Group) -> list[Place]:
    """Forget a group; returns its hosts that are in no other group."""
    alone = [
        place
        for name in group.hosts
        if (place := hosts.known(home, name)) is not None
        and not any(name in other.hosts for other in every(home) if other.id != group.id)
    ]
    with records.changing(home):
        path(home, group.application, group.name).unlink(missing_ok=True)
    return alone


def read_host(home: Path, text: str, isolation: Isolation) -> Place:
    """The host that `NAME=FOLDER[,zone=ZONE]` describes.

    Raises:
        UsageError: it describes none.
    """
    name, equals, rest = text.partition("=")
    folder, comma, zone = rest.partition(",zone=")
    if not equals or not folder or (comma and not zone):
        raise UsageError(f"--host {text!r} is no host", fix="use NAME=FOLDER or NAME=FOLDER,zone=ZONE")
    root = Path(folder).expanduser().absolute()
    return Place(name=hosts.check_name(name), home=str(home), root=str(root), isolation=isolation, zone=zone)


def read_alarm(text: str) -> Alarm:
    """The alarm that `NAME=[hosts:]URL|COMMAND` describes.

    Raises:
        UsageError: it describes none.
    """
    name, equals, what = text.partition("=")
    on_hosts = what.startswith("hosts:")
    what = what.removeprefix("hosts:")
    if not equals or not name.strip() or not what.strip():
        raise UsageError(f"--alarm {text!r} is no alarm", fix="use NAME=URL, NAME=COMMAND or NAME=hosts:…")
    if what.startswith(("http://", "https://")):
        return Alarm(name, url=what, on_hosts=on_hosts)
    try:
        return Alarm(name, argv=tuple(shlex.split(what)), on_hosts=on_hosts)
    except ValueError as error:
        raise UsageError(f"--alarm {text!r} cannot be read: {error}", fix="close the quotes") from error


def read_rollback(text: str) -> tuple[RollbackOn, ...]:
    """The events that `failure,alarm,stop` names, or CodeDeploy's names of them; `none` names none.

    Raises:
        UsageError: one of them is none.
    """
    if text == "none":
        return ()
    found: list[RollbackOn] = []
    for word in filter(None, text.split(",")):
        known = SHORT.get(word) or next((one for one in get_args(RollbackOn) if one == word), None)
        if known is None:
            raise UsageError(f"--rollback-on {word!r} is no event", fix="use failure, alarm, stop, or none")
        found.append(known)
    if not found:
        raise UsageError(
            "Deployment Groups need to have at least one event specified when auto rollback is enabled",
            fix="use failure, alarm, stop, or none",
        )
    return tuple(dict.fromkeys(found))


def _names(members: Sequence[Place]) -> tuple[str, ...]:
    names = tuple(place.name for place in members)
    if len(set(names)) != len(names):
        raise UsageError("two hosts have the same name", fix="give each host its own name")
    roots = [place.root for place in members]
    if len(set(roots)) != len(roots):
        raise UsageError("two hosts have the same folder", fix="give each host a folder of its own")
    return names


def _enter(home: Path, members: Sequence[Place]) -> None:
    for place in members:
        before = hosts.known(home, place.name)
        if before is not None and before != place and any(place.name in group.hosts for group in every(home)):
            _refuse_other(before, place)
        hosts.write(place)


def _refuse_other(before: Place, after: Place) -> None:
    if (before.root, before.isolation) != (after.root, after.isolation):
        raise UsageError(
            f"host {before.name} is written down with the folder {before.root} ({before.isolation})",
            why="a host is the same in all groups",
            fix="use that folder, or another name",
        )
