"""A service on this machine, as whoever deploys sees it: bring it up, install a version, shift traffic, take it down.

Each function says what should be and returns when the service's keeper has made it so. All of them may be called again
after a crash. Call `bring_up` where nothing ends your children (a command, or a step that `leaves`): it may start the
keeper, which has to outlive the caller.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from seatrial import locks
from seatrial.clock import SystemClock
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import listening, wishes, written
from seatrial.services.model import ACCESS_LOG, Actual, Wanted, folder
from seatrial.services.waking import ensure_keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.config import Service
    from seatrial.deployments.proxy import ProxyStatus
    from seatrial.services.model import Instance, Revision

_PATIENCE = 20.0
_STUCK = 2.0
_MARGIN = 10.0


def bring_up(home: Path, name: str, service: Service) -> Wanted:
    """Have the service's load balancer listen, and its keeper be there.

    One that is there already gets the settings of now: another process of the load balancer takes the listeners over,
    and nothing is lost. Its driver and ports stay.

    Raises:
        SeatrialError: a port is taken, or the load balancer does not start.
        UsageError: the service is there and listens elsewhere, or the settings are not possible.
        MissingToolError: the load balancer is not installed.
    """
    place = folder(home, written.check_name(name))
    found = written.read_wanted(place)
    if found is not None and found.down:
        down(home, name)  # somebody was cut off while doing so
        found = None
    found = _created(home, name, service) if found is None else _adjusted(home, found, service)
    ensure_keeper(place)
    _await(home, name, found.number)
    return found


def install(home: Path, name: str, revision: Revision, count: int) -> Wanted:
    """Start `count` instances of a revision without traffic, or as many as are missing.

    Raises:
        SeatrialError: there is no room for so many.
        UsageError: there is no such service.
    """
    deadline = time.monotonic() + _until_gone(written.wanted(home, name))
    while True:
        with locks.locked(listening.ports_held(home)):
            leaving = {one.slot for one in look(home, name)[1].instances}

            def change(now: Wanted, leaving: set[str] = leaving) -> Wanted:
                return wishes.installed(
                    now, revision, count, leaving, lambda missing: listening.choose_ports(home, missing)
                )

            try:
                changed = written.changed(home, name, change)
            except wishes.Full as full:
                # What is being drained leaves room soon.
                if not _leaving(home, name) or time.monotonic() > deadline:
                    raise SeatrialError(full.what, why=full.why, fix=full.fix) from full
                changed = None
        if changed is not None:
            return _await(home, name, changed.number)
        time.sleep(0.05)


def await_ready(
    home: Path, name: str, revision_id: str, *, deadline: float | None = None, clock: Clock | None = None
) -> Actual:
    """Wait until all instances of a revision answer their ping; `deadline` is in the clock's epoch seconds.

    Raises:
        SeatrialError: one ends again and again, or is not ready in time (default: the service's start timeout).
    """
    clock = clock or SystemClock()
    wanted = written.wanted(home, name)
    deadline = clock.now() + wanted.listening.start_timeout if deadline is None else deadline
    place = folder(home, name)
    ensure_keeper(place)
    while True:
        actual = written.read_actual(place)
        mine = [one for one in actual.instances if one.revision == revision_id]
        expected = sum(one.revision == revision_id for one in written.wanted(home, name).instances)
        if failing := next((one for one in mine if one.state == "failing"), None):
            raise _failed(home, name, failing, "does not stay up")
        if expected and sum(one.state == "ready" for one in mine) == expected:
            return actual
        if not expected:
            raise UsageError(f"service {name} has no instances of {revision_id}")
        if clock.now() >= deadline:
            late = next((one for one in mine if one.state != "ready"), None)
            raise _failed(home, name, late, "is not ready in time")
        clock.sleep(0.02)


def shift(home: Path, name: str, shares: Mapping[str, float]) -> Wanted:
    """Split the traffic: percent by revision; revisions that are not named get none. In force on return.

    A revision has its share in all, however many instances it has.

    Raises:
        SeatrialError: a revision that is not ready would take traffic from one that is; nothing was changed.
        UsageError: there is no such service.
    """
    _, actual = look(home, name)
    return _changed(home, name, lambda now: wishes.shifted(now, shares, actual))


def expose(home: Path, name: str, revision_id: str) -> Wanted:
    """Have the test listener and the test header reach a revision, whatever its share; '' none."""

    def change(now: Wanted) -> Wanted:
        if revision_id and revision_id not in now.revisions:
            raise UsageError(f"service {name} has no revision {revision_id}")
        return msgspec.structs.replace(now, tested=revision_id)

    return _changed(home, name, change)


def mirror(
    home: Path, name: str, revision_id: str, share: float, methods: Iterable[str] = ("GET",)
) -> Wanted:
    """Copy a share (percent) of the requests with these methods to a revision; '' or 0 ends it.

    Raises:
        UsageError: the service's load balancer copies no requests.
    """
    on = bool(revision_id) and share > 0

    def change(now: Wanted) -> Wanted:
        if on and now.listening.driver != "envoy":
            raise UsageError(
                f"the load balancer of service {name} is HAProxy, which copies no requests",
                fix="say `driver: envoy` under its `deploy`, `seatrial deploy down` it, and deploy again",
            )
        if on and revision_id not in now.revisions:
            raise UsageError(f"service {name} has no revision {revision_id}")
        return msgspec.structs.replace(
            now,
            shadow=revision_id if on else "",
            shadow_share=float(share) if on else 0.0,
            shadow_methods=tuple(methods) if on else (),
        )

    return _changed(home, name, change)


def drain(
    home: Path, name: str, revision_id: str, *, deadline: float | None = None, clock: Clock | None = None
) -> bool:
    """Give a revision nothing new, and wait until it has answered what it had; False when the deadline passed.

    Its instances stay, and `shift` gives them traffic again.
    """
    clock = clock or SystemClock()
    wanted = _changed(home, name, lambda now: wishes.draining(now, revision_id))
    deadline = clock.now() + wanted.listening.drain_timeout if deadline is None else deadline
    mine = [one.slot for one in wanted.instances if one.revision == revision_id]
    while True:
        found = status(home, name).slots
        if not any(found[slot].sessions or found[slot].queue for slot in mine if slot in found):
            return True
        if clock.now() >= deadline:
            return False
        clock.sleep(0.02)


def remove(home: Path, name: str, revision_id: str) -> Wanted:
    """Drain and stop a revision's instances, and forget it; returns when they are gone.

    Raises:
        SeatrialError: they are still there long after the drain and stop timeouts.
    """
    wanted = _changed(home, name, lambda now: wishes.without(now, revision_id))
    deadline = time.monotonic() + _until_gone(wanted)
    began = time.monotonic()
    while any(one.revision == revision_id for one in written.read_actual(folder(home, name)).instances):
        if time.monotonic() > deadline:
            raise SeatrialError(f"instances of {revision_id} of service {name} cannot be stopped")
        ensure_keeper(folder(home, name))
        written.pause(time.monotonic() - began)
    return wanted


def down(home: Path, name: str) -> None:
    """End the service: no new traffic, what is in flight is answered, then everything is stopped and forgotten.

    Raises:
        SeatrialError: something is still there long after the timeouts.
        UsageError: there is no such service.
    """
    place = folder(home, written.check_name(name))
    wanted = written.changed(home, name, lambda now: msgspec.structs.replace(now, down=True))
    deadline = time.monotonic() + _until_gone(wanted) + wanted.listening.drain_timeout
    began = time.monotonic()
    while (now := written.read_wanted(place)) is not None and now.down:
        if time.monotonic() > deadline:
            raise SeatrialError(
                f"service {name} cannot be ended",
                where=str(place),
                why=written.read_actual(place).problem or None,
            )
        ensure_keeper(place)
        written.pause(time.monotonic() - began)
    while written.is_kept(place) and time.monotonic() < deadline:
        written.pause(time.monotonic() - began)


def look(home: Path, name: str) -> tuple[Wanted, Actual]:
    """What a service should be like and what it is like.

    Raises:
        UsageError: there is no such service.
    """
    return written.wanted(home, name), written.read_actual(folder(home, name))


def status(home: Path, name: str) -> ProxyStatus:
    """What the service's load balancer counts.

    Raises:
        SeatrialError: it does not answer.
        UsageError: there is no such service.
    """
    now = written.wanted(home, name).listening
    return listening.driver(now).status(listening.place(folder(home, name)))


def log_path(home: Path, name: str) -> Path:
    """The service's access log, which `deployments.observing.log` reads. It only grows, and its beginning is given
    back to the file system as a hole, so an offset stays what it is; where there are no holes it is emptied.
    """
    return folder(home, name) / ACCESS_LOG


def _created(home: Path, name: str, service: Service) -> Wanted:
    with locks.locked(listening.ports_held(home)), locks.locked(written.lock(home, name)):
        place = folder(home, name)
        found = written.read_wanted(place)
        if found is not None:
            return found
        settled = listening.settled(home, name, service)
        driver = listening.driver(settled)
        driver.find()
        proxy = listening.place(place)
        for one in (place, proxy):
            one.mkdir(mode=0o700, exist_ok=True)
        driver.prepare(proxy, settled.port, settled.slots, listening.options(settled))
        driver.check(proxy)
        found = Wanted(number=1, name=name, listening=settled)
        written.write_wanted(place, found)
        return found


def _adjusted(home: Path, found: Wanted, service: Service) -> Wanted:
    deploy, old = service.deploy, found.listening
    fix = f"`seatrial deploy down {found.name}`, then deploy again"
    for what, asked, now in (
        ("driver", deploy.driver, old.driver),
        ("port", deploy.port or old.port, old.port),
        ("test_port", deploy.test_port or old.test_port, old.test_port),
    ):
        if asked != now:
            raise UsageError(
                f"service {found.name} has {what} {now}, and cannot have {asked} while it is up",
                fix=f"{fix}, or leave {what} as it is",
            )
    new = listening.adjusted(old, service)
    if listening.options(new) != listening.options(old) and old.driver != "haproxy":
        raise UsageError(
            f"service {found.name} is up, and Envoy cannot change its ping, cookie, header, retries or drain timeout then",
            fix=f"{fix}, or leave them as they are",
        )
    return written.changed(home, found.name, lambda now: msgspec.structs.replace(now, listening=new))


def _leaving(home: Path, name: str) -> bool:
    wanted, actual = look(home, name)
    wished = {(one.slot, one.port) for one in wanted.instances}
    return any((one.slot, one.port) not in wished for one in actual.instances)


def _until_gone(wanted: Wanted) -> float:
    return wanted.listening.drain_timeout + wanted.listening.stop_timeout + _MARGIN


def _changed(home: Path, name: str, change: Callable[[Wanted], Wanted]) -> Wanted:
    return _await(home, name, written.changed(home, name, change).number)


def _await(home: Path, name: str, number: int) -> Wanted:
    """Wait until the keeper has made a wish true."""
    place = folder(home, name)
    began = time.monotonic()
    stuck: float | None = None
    while True:
        actual = written.read_actual(place)
        if actual.number >= number:
            return written.wanted(home, name)
        waited = time.monotonic() - began
        stuck = (stuck if stuck is not None else waited) if actual.problem else None
        if waited > _PATIENCE or (stuck is not None and waited - stuck > _STUCK):
            raise SeatrialError(
                f"service {name} did not become what it should be",
                where=str(place),
                why=actual.problem or f"its keeper has said nothing for {waited:.0f} s",
                fix=None if actual.problem else f"look at {place / written.KEEPER_LOG}",
            )
        ensure_keeper(place)
        written.pause(waited)


def _failed(home: Path, name: str, one: Instance | None, what: str) -> SeatrialError:
    if one is None:
        return SeatrialError(f"no instance of service {name} was started in time")
    log = folder(home, name) / "instances" / f"{one.slot}-{one.port}.log"
    return SeatrialError(
        f"an instance of service {name} {what}",
        where=f"{one.revision} on 127.0.0.1:{one.port}",
        why=one.why or "it has not answered its ping",
        fix=f"look at {log}",
    )
