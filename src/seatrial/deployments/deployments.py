"""Deployments as records: who is deployed to, how that goes, and how it ended.

Source of statuses and error codes: AWS CodeDeploy API reference, `DeploymentInfo`, `InstanceTarget`, `ErrorCode`.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial import locks
from seatrial.deployments import groups, records, rollout
from seatrial.deployments.configurations import Configuration  # noqa: TC001 - msgspec reads the annotation
from seatrial.deployments.groups import Group, Known, RollbackOn
from seatrial.deployments.rollout import Host, State, Status
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.deployments.revisions import Revision
    from seatrial.engine.journal import Journal

Overall = Literal["Created", "InProgress", "Baking", "Succeeded", "Failed", "Stopped"]
ENDED = ("Succeeded", "Failed", "Stopped")
Creator = Literal["user", "codeDeployRollback"]
_ID = re.compile(r"d-[A-Z0-9]{9}")
_ALPHABET = string.ascii_uppercase + string.digits


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A lifecycle event on a host, with times in seconds since the epoch (None: it did not happen)."""

    name: str
    status: Status
    started: float | None = None
    ended: float | None = None


class OnHost(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment on one host. `error_code`, `script_name`, `message` and `log` are the agent's diagnostics."""

    status: Status = "Pending"
    started: float | None = None
    ended: float | None = None
    error_code: str = ""
    script_name: str = ""
    message: str = ""
    log: str = ""
    events: tuple[Event, ...] = ()


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment. `hosts` are the group's as the deployment found them, `on` how each is doing.

    `rollback_of` is the deployment that this one undoes, `rolled_back_by` the one that undoes this one, and
    `rollback_message` why there is one or none. `stop` says that somebody asked to stop it, `stop_rollback` whether
    to roll back then; None leaves that to the group. `alarm` is the alarm that stopped it. `allow` is what agents let
    through that they would refuse in a bundle.
    """

    id: str
    application: str
    group: str
    revision: str
    configuration: Configuration
    hosts: tuple[Host, ...]
    creator: Creator = "user"
    status: Overall = "Created"
    description: str = ""
    created: float = 0
    started: float | None = None
    ended: float | None = None
    on: dict[str, OnHost] = {}
    error_code: str = ""
    error_message: str = ""
    rollback_of: str = ""
    rolled_back_by: str = ""
    rollback_message: str = ""
    rollback_on: tuple[RollbackOn, ...] = ()
    stop: bool = False
    stop_rollback: bool | None = None
    alarm: str = ""
    overwriting: str = "DISALLOW"
    allow: tuple[str, ...] = ()
    run: str = ""

    @property
    def label(self) -> str:
        return f"{self.application}/{self.group}"

    def where(self, host: str) -> OnHost:
        """How it is doing on a host."""
        return self.on.get(host, OnHost())

    def states(self) -> dict[str, State]:
        """What a rollout has to know."""
        return {name: State(here.status, here.ended or 0) for name, here in self.on.items()}

    def order(self) -> tuple[Host, ...]:
        """Hosts in the order of their turn."""
        return rollout.order(self.hosts, self.configuration)

    def counts(self) -> dict[str, int]:
        """How many hosts have which status."""
        found = [self.where(host.name).status for host in self.hosts]
        return {status: found.count(status) for status in dict.fromkeys(found)}


class Limited(UsageError):  # noqa: N818 - a state, not a mistake
    """The group has an active deployment already."""

    exit_code = 1


def path(home: Path, identifier: str) -> Path:
    """The file of a deployment."""
    return records.folder(home, "records") / f"{identifier}.json"


def find(home: Path, reference: str) -> Deployment:
    """The deployment of an id, a unique part of one, or `latest`.

    Raises:
        UsageError: none or several fit.
    """
    if reference == "latest":
        found = every(home)[:1]
    else:
        one = records.read(path(home, reference), Deployment) if _ID.fullmatch(reference) else None
        found = [one] if one else [other for other in every(home) if reference.upper() in other.id.upper()]
    if len(found) != 1 or not reference:
        problem = "several deployments fit" if found and reference else "there is no deployment"
        raise UsageError(f"{problem} {reference!r}", fix="`seatrial deploy list` shows the deployments")
    return found[0]


def load(home: Path, identifier: str) -> Deployment:
    """The deployment of exactly that id.

    Raises:
        UsageError: there is none.
    """
    found = records.read(path(home, identifier), Deployment)
    if found is None:
        raise UsageError(
            f"there is no deployment {identifier!r}", fix="`seatrial deploy list` shows the deployments"
        )
    return found


def save(home: Path, deployment: Deployment) -> Deployment:
    """Write a deployment down."""
    records.write(path(home, deployment.id), deployment)
    return deployment


def every(home: Path) -> list[Deployment]:
    """All deployments, newest first."""
    found = records.all_in(records.folder(home, "records"), Deployment)
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def of_group(home: Path, group: Group) -> list[Deployment]:
    """The deployments of a group, newest first; those of another one that had its name before are not."""
    return [
        one
        for one in every(home)
        if (one.application, one.group) == (group.application, group.name) and one.created >= group.created
    ]


def active(home: Path, group: Group) -> Deployment | None:
    """The deployment of a group that has not ended."""
    return next((one for one in of_group(home, group) if one.status not in ENDED), None)


def create(
    home: Path,
    group: Group,
    revision: Revision,
    *,
    now: float,
    configuration: Configuration | None = None,
    creator: Creator = "user",
    description: str = "",
    rollback_of: str = "",
    rollback_on: tuple[RollbackOn, ...] | None = None,
    overwriting: str = "DISALLOW",
    allow: tuple[str, ...] = (),
) -> Deployment:
    """Write a new deployment down; the caller holds the records' lock.

    Raises:
        Limited: the group has one that has not ended.
    """
    other = active(home, group)
    if other is not None and other.id != rollback_of:
        raise Limited(
            f"The Deployment Group '{group.name}' already has an active Deployment '{other.id}'",
            fix=f"`seatrial deploy show {other.id}` shows it, `seatrial deploy stop {other.id}` stops it",
        )
    return save(
        home,
        Deployment(
            id=new_id(lambda one: path(home, one).exists()),
            application=group.application,
            group=group.name,
            revision=revision.id,
            configuration=configuration or group.configuration,
            hosts=groups.for_rollout(home, group, revision.id),
            creator=creator,
            description=description,
            created=now,
            rollback_of=rollback_of,
            rollback_on=group.rollback_on if rollback_on is None else rollback_on,
            overwriting=overwriting,
            allow=allow,
        ),
    )


def last_good(home: Path, group: Group, *, other_than: str = "") -> Deployment | None:
    """The latest deployment of a group that succeeded, of another revision than `other_than`."""
    good = (one for one in of_group(home, group) if one.status == "Succeeded" and one.revision != other_than)
    return next(good, None)


def enter(home: Path, deployment: Deployment, host: str, here: OnHost) -> Deployment:
    """The deployment with how it is doing on a host, written down with what that says of the host."""
    deployment = msgspec.structs.replace(deployment, on={**deployment.on, host: here})
    if here.status in ("Succeeded", "Failed"):
        group = records.read(groups.path(home, deployment.application, deployment.group), Group)
        if group is not None:
            good = here.status == "Succeeded"
            known = Known("healthy", deployment.revision) if good else Known("unhealthy")
            groups.save(home, msgspec.structs.replace(group, known={**group.known, host: known}))
    return save(home, deployment)


def end(
    home: Path, deployment: Deployment, status: Overall, *, code: str = "", message: str = "", now: float
) -> Deployment:
    """The deployment as ended, written down: hosts that never had their turn are Skipped."""
    on = dict(deployment.on)
    for host in deployment.hosts:
        here = deployment.where(host.name)
        if here.status == "Pending":
            on[host.name] = msgspec.structs.replace(here, status="Skipped")
        elif here.status == "InProgress":
            on[host.name] = msgspec.structs.replace(here, status="Unknown", ended=now)
    deployment = msgspec.structs.replace(
        deployment, status=status, error_code=code, error_message=message, ended=now, on=on
    )
    if status == "Succeeded":
        group = records.read(groups.path(home, deployment.application, deployment.group), Group)
        if group is not None:
            groups.save(home, msgspec.structs.replace(group, last_good=deployment.id))
    return save(home, deployment)


def first_failed(deployment: Deployment) -> tuple[str, OnHost] | None:
    """The host on which it failed first, and how."""
    failed = [(name, here) for name, here in deployment.on.items() if here.status == "Failed"]
    return min(failed, key=lambda one: one[1].ended or 0, default=None)


def in_charge(journal: Journal, deployment: Deployment) -> bool:
    """Whether a living process is in charge of the deployment."""
    return bool(deployment.run) and locks.is_locked(journal.folder(deployment.run) / "lock")


def settle(journal: Journal, home: Path, deployment: Deployment, now: float) -> Deployment:
    """The deployment, ended if its run has ended without saying so: it was killed, or never began."""
    if deployment.status in ENDED:
        return deployment
    with records.changing(home):
        latest = load(home, deployment.id)
        if latest.status in ENDED:
            return latest
        if latest.run:
            rows = journal.rows("SELECT ended FROM runs WHERE id=?", latest.run)
            if rows and rows[0]["ended"] is None:
                return latest
            return end(
                home, latest, "Stopped", code="MANUAL_STOP", message="The deployment was killed.", now=now
            )
        # Between its record and its run there are moments only.
        if now - latest.created < _MOMENTS:
            return latest
        return end(
            home, latest, "Failed", code="INTERNAL_ERROR", message="The deployment was never begun.", now=now
        )


_MOMENTS = 30


def new_id(taken: Callable[[str], bool]) -> str:
    """An id that is not taken, formed like CodeDeploy's."""
    while True:
        identifier = "d-" + "".join(secrets.choice(_ALPHABET) for _ in range(9))
        if not taken(identifier):
            return identifier
