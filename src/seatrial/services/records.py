"""Deployments of services as records: what is deployed where, how that goes, what happened, and what people ask for.

A deployment is a file; beside it is a folder with its events, what was seen second by second, where its shift is, and
requests by hand that nobody has heard yet. Source of the words for statuses: AWS CodeDeploy API reference,
`DeploymentInfo`.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from seatrial import locks
from seatrial.config.deploying import Deploy  # noqa: TC001 - msgspec reads the annotation
from seatrial.deployments import deployments
from seatrial.deployments.deployments import ENDED, Creator, Limited, Overall
from seatrial.deployments.records import all_in, changing, folder, read, write
from seatrial.deployments.shifting.progress import Shift
from seatrial.errors import UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.engine.journal import Journal

Ask = Literal["promote", "hold", "continue", "roll back"]
_SHORT = 36
ASKS: tuple[Ask, ...] = ("promote", "hold", "continue", "roll back")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One service of a deployment. `before` and `after` are ids of revisions; `before` is '' where there was none.

    `new` says that nothing was ever deployed to the service. Hooks run in `cwd`. `url` and `test_url` are the load balancer's.
    """

    service: str
    before: str = ""
    after: str
    source: str = ""
    replicas: int = 1
    deploy: Deploy
    new: bool = False
    cwd: str
    url: str = ""
    test_url: str = ""

    @property
    def compared(self) -> bool:
        """Whether there is an old version whose traffic the new one takes over."""
        return self.before not in ("", self.after)


class ServiceDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment of one or several services, whose shares move together. Times are seconds (since the epoch).

    `rollback_of` is the deployment that this one undoes, `rolled_back_by` the one that undoes this one. `error_code`
    and `why` say how it came to its end; `error_code` is one of CodeDeploy's.
    """

    id: str
    parts: tuple[Part, ...]
    strategy: str
    bake: float = 0.0
    test: float = 0.0
    patience: float = 600.0
    unclear: Literal["hold", "roll back"] = "hold"
    creator: Creator = "user"
    status: Overall = "Created"
    description: str = ""
    created: float = 0
    started: float | None = None
    ended: float | None = None
    error_code: str = ""
    why: str = ""
    rollback_of: str = ""
    rolled_back_by: str = ""
    rollback_message: str = ""
    run: str = ""

    @property
    def label(self) -> str:
        return ", ".join(part.service for part in self.parts)

    def part(self, service: str) -> Part:
        """What it does to a service."""
        return next(part for part in self.parts if part.service == service)

    def short(self, part: Part) -> str:
        """A name for a part that fits into the name of a step, and no other part has."""
        if len(part.service) <= _SHORT:
            return part.service
        return f"{part.service[: _SHORT - 4]}-{self.parts.index(part) + 1}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, with the numbers behind it. `kind` is one of created, stage, hook, shift, verdict,
    alarm, health, request, held, note, shadow, rollback and ended; `service` is '' where all are meant.
    """

    at: float
    kind: str
    text: str
    service: str = ""
    data: dict[str, Any] = {}


# Records


def place(home: Path, identifier: str) -> Path:
    """The folder of a deployment's events, requests and measurements."""
    return folder(home, "services") / identifier


def timeline(home: Path, identifier: str, service: str) -> Path:
    """Where a service's seconds are written during a deployment."""
    return place(home, identifier) / f"timeline-{service}.jsonl"


def load(home: Path, identifier: str) -> ServiceDeployment:
    """The deployment of exactly that id.

    Raises:
        UsageError: there is none.
    """
    found = read(_path(home, identifier), ServiceDeployment)
    if found is None:
        raise UsageError(
            f"there is no deployment {identifier!r} of a service",
            fix="`seatrial deploy list` shows the deployments",
        )
    return found


def find(home: Path, reference: str) -> ServiceDeployment:
    """The deployment of an id, a unique part of one, `latest`, or the latest one of a service by its name.

    Raises:
        UsageError: none or several fit.
    """
    known = every(home)
    if reference == "latest":
        found = known[:1]
    elif exact := [one for one in known if one.id == reference]:
        found = exact
    elif named := [one for one in known if any(part.service == reference for part in one.parts)]:
        found = named[:1]
    else:
        found = [one for one in known if reference and reference.upper() in one.id.upper()]
    if len(found) != 1:
        problem = "several deployments fit" if found else "there is no deployment of a service that fits"
        raise UsageError(f"{problem} {reference!r}", fix="`seatrial deploy list` shows the deployments")
    return found[0]


def every(home: Path) -> list[ServiceDeployment]:
    """All deployments of services, newest first."""
    found = all_in(folder(home, "services"), ServiceDeployment)
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def of_service(home: Path, service: str) -> list[ServiceDeployment]:
    """The deployments of a service, newest first."""
    return [one for one in every(home) if any(part.service == service for part in one.parts)]


def active(home: Path, service: str) -> ServiceDeployment | None:
    """The deployment of a service that has not ended."""
    return next((one for one in of_service(home, service) if one.status not in ENDED), None)


def last_good(home: Path, service: str, *, other_than: str = "") -> ServiceDeployment | None:
    """The latest deployment of a service that succeeded and was not rolled back, with another revision than
    `other_than`.
    """
    for one in of_service(home, service):
        good = one.status == "Succeeded" and not one.rolled_back_by
        if good and one.part(service).after != other_than:
            return one
    return None


def save(home: Path, deployment: ServiceDeployment) -> ServiceDeployment:
    """Write a deployment down."""
    write(_path(home, deployment.id), deployment)
    return deployment


def create(home: Path, deployment: ServiceDeployment) -> ServiceDeployment:
    """Write a new deployment down under an id of its own; the caller holds the records' lock.

    Raises:
        Limited: a service of it has one that has not ended.
    """
    for part in deployment.parts:
        other = active(home, part.service)
        if other is not None and other.id != deployment.rollback_of:
            raise Limited(
                f"the service {part.service} already has an active deployment {other.id}",
                fix=f"`seatrial deploy watch {other.id}` follows it, `seatrial deploy stop {other.id}` stops it",
            )
    deployment = msgspec.structs.replace(deployment, id=_new_id(home))
    place(home, deployment.id).mkdir(mode=0o700, parents=True, exist_ok=True)
    return save(home, deployment)


def change(home: Path, identifier: str, **fields: Any) -> ServiceDeployment:
    """The deployment with other values in some fields, written down."""
    with changing(home):
        return save(home, msgspec.structs.replace(load(home, identifier), **fields))


def end(
    home: Path, identifier: str, status: Overall, *, now: float, code: str = "", why: str = ""
) -> ServiceDeployment:
    """The deployment as ended, written down; one that has ended stays as it is."""
    with changing(home):
        here = load(home, identifier)
        if here.status in ENDED:
            return here
        here = msgspec.structs.replace(here, status=status, error_code=code, why=why, ended=now)
        save(home, here)
    said = {"Succeeded": "succeeded", "Failed": "failed", "Stopped": "was stopped"}.get(status, status)
    tell(
        home,
        identifier,
        Event(
            at=now,
            kind="ended",
            text=f"{identifier} {said}" + (f": {why}" if why else ""),
            data={"status": status, "code": code},
        ),
    )
    return here


def in_charge(journal: Journal, deployment: ServiceDeployment) -> bool:
    """Whether a living process is in charge of the deployment."""
    return bool(deployment.run) and locks.is_locked(journal.folder(deployment.run) / "lock")


def settle(journal: Journal, deployment: ServiceDeployment, now: float) -> ServiceDeployment:
    """The deployment, ended if its run has ended without saying so: it was killed, or never began."""
    if deployment.status in ENDED:
        return deployment
    latest = load(journal.home, deployment.id)
    if latest.run:
        rows = journal.rows("SELECT ended FROM runs WHERE id=?", latest.run)
        if rows and rows[0]["ended"] is None:
            return latest
        why = "The deployment was killed."
        return end(journal.home, latest.id, "Stopped", now=now, code="MANUAL_STOP", why=why)
    if now - latest.created < _MOMENTS:  # between its record and its run there are moments only
        return latest
    why = "The deployment was never begun."
    return end(journal.home, latest.id, "Failed", now=now, code="INTERNAL_ERROR", why=why)


_MOMENTS = 30

# What happened


def tell(home: Path, identifier: str, event: Event) -> None:
    """Append an event. A line that was cut off by a crash is ended first, so that it takes no other with it."""
    path = place(home, identifier) / "events.jsonl"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (b"\n" if cut else b"") + msgspec.json.encode(event) + b"\n")
    finally:
        os.close(descriptor)


def events(home: Path, identifier: str) -> list[Event]:
    """What happened, in order; a line that was cut off is left out."""
    return told_since(home, identifier, 0)[0]


def told_since(home: Path, identifier: str, offset: int) -> tuple[list[Event], int]:
    """Events whose lines begin at `offset` of the file or later, and where the next one will begin."""
    try:
        with (place(home, identifier) / "events.jsonl").open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    return list(_decoded(data[:whole].splitlines())), offset + whole


def _decoded(lines: Iterable[bytes]) -> Iterable[Event]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Event)
        except msgspec.MsgspecError:
            continue


# Where the shift is


def shift_of(home: Path, identifier: str) -> Shift | None:
    """Where the shift of a deployment is, or None before it has begun."""
    return read(place(home, identifier) / "shift.json", Shift)


def save_shift(home: Path, identifier: str, shift: Shift) -> None:
    """Write down where the shift is, before it is made so."""
    write(place(home, identifier) / "shift.json", shift)


# What people ask for


def ask(home: Path, identifier: str, what: Ask, *, now: float) -> None:
    """Ask a deployment for something; whoever is in charge of it hears it within half a second.

    Raises:
        UsageError: the deployment has ended.
    """
    here = load(home, identifier)
    if here.status in ENDED:
        fix = "`seatrial deploy rollback` brings the version before back" if what == "roll back" else None
        raise UsageError(f"{identifier} has ended: {here.status}", fix=fix)
    name = f"ask-{now:017.6f}-{secrets.token_hex(3)}"
    write_atomic(place(home, identifier) / name, what, mode=0o600)


def asked(home: Path, identifier: str) -> list[tuple[Path, Ask]]:
    """What was asked for and has not been heard, oldest first; whoever has heard it removes its file."""
    found: list[tuple[Path, Ask]] = []
    for path in sorted(place(home, identifier).glob("ask-*")):
        with suppress(FileNotFoundError):  # somebody has just heard it
            what = path.read_text(encoding="utf-8")
            found += [(path, one) for one in ASKS if one == what]
    return found


def _path(home: Path, identifier: str) -> Path:
    return folder(home, "services") / f"{identifier}.json"


def _new_id(home: Path) -> str:
    return deployments.new_id(lambda one: _path(home, one).exists() or deployments.path(home, one).exists())
