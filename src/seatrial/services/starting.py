"""Starting a deployment of services, going on with one that was cut off, and stopping one."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.clock import SystemClock
from seatrial.deployments.deployments import ENDED, Limited
from seatrial.deployments.observing import metrics
from seatrial.deployments.records import changing
from seatrial.deployments.shifting import strategy as strategies
from seatrial.engine import run as runs
from seatrial.engine.execute import Processes
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import alarms, plan, records, retiring, target, waking, written
from seatrial.services.model import folder
from seatrial.services.records import Event, Part, ServiceDeployment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.config import Service
    from seatrial.engine.journal import Journal
    from seatrial.services.model import Revision

_TENDING = 0.5
_LATEST = 10
"""Deployments of a service that may have been cut off: those before them were looked at when these were started."""


class Piece(NamedTuple):
    """A service that is to be deployed: its settings, the new version, and the folder that its hooks run in."""

    name: str
    service: Service
    revision: Revision
    cwd: str


class Wanted(NamedTuple):
    """What a deployment is asked to do; '' and None leave it to the services' settings."""

    pieces: tuple[Piece, ...]
    strategy: str = ""
    bake: float | None = None
    test: float | None = None
    description: str = ""


def start(journal: Journal, wanted: Wanted) -> tuple[ServiceDeployment, bool]:
    """The deployment that does what is wanted: the services' unfinished one of the same wish (True), else a new one.

    Services that are not there yet listen on return, with no version behind them.

    Raises:
        Limited: a service has another one that has not ended, or a living process is in charge of this one.
        UsageError: settings do not fit together.
        MissingToolError: the load balancer is not installed.
    """
    home, now = journal.home, SystemClock().now()
    check(wanted)
    unfinished = _unfinished(journal, wanted, now)
    if unfinished is not None:
        return unfinished, True
    parts = _brought_up(home, wanted.pieces)
    deploys = [piece.service.deploy for piece in wanted.pieces]
    deployment = ServiceDeployment(
        id="",
        parts=parts,
        strategy=strategy_of(wanted),
        bake=max(one.bake for one in deploys) if wanted.bake is None else wanted.bake,
        test=max(one.test for one in deploys) if wanted.test is None else wanted.test,
        patience=max(one.patience for one in deploys),
        unclear="roll back" if any(one.unclear == "roll back" for one in deploys) else "hold",
        description=wanted.description,
        created=now,
    )
    return _written(home, deployment), False


def check(wanted: Wanted) -> None:
    """Refuse settings that do not fit together, before anything is started.

    Raises:
        UsageError: says which.
        MissingToolError: the program of an alarm is not on this machine.
    """
    names = [piece.name for piece in wanted.pieces]
    if not names or len(set(names)) != len(names):
        raise UsageError("name one or several services, each once")
    strategies.parse(strategy_of(wanted), bake=wanted.bake or 0.0, test=wanted.test or 0.0)
    for piece in wanted.pieces:
        written.check_name(piece.name)
        deploy = piece.service.deploy
        metrics.check(deploy.metrics)
        alarms.check(deploy.alarms, deploy.metrics)
        if deploy.shadow is not None and deploy.driver != "envoy":
            raise UsageError(
                f"service {piece.name} has `shadow`, and its load balancer HAProxy copies no requests",
                fix="say `driver: envoy` under its `deploy`",
            )
        for event, hooks in deploy.hooks.items():
            for hook in hooks:
                if sum(one is not None for one in (hook.script, hook.url, hook.python)) != 1:
                    raise UsageError(
                        f"a hook at {event} of service {piece.name} needs exactly one of script, url and python"
                    )


def strategy_of(wanted: Wanted) -> str:
    """The strategy that all services have in common.

    Raises:
        UsageError: they have different ones.
    """
    named = {piece.name: piece.service.deploy.strategy for piece in wanted.pieces}
    if wanted.strategy or len(set(named.values())) == 1:
        return wanted.strategy or next(iter(named.values()))
    raise UsageError(
        "services that are deployed as one need one strategy",
        why="; ".join(f"{name} has {strategy}" for name, strategy in named.items()),
        fix="say one with --strategy, or deploy them one by one",
    )


def carry_out(journal: Journal, identifier: str, **options: Any) -> str:
    """Begin the run of a deployment, or go on with it, and return the run's status.

    Raises:
        Busy: another process is in charge.
    """
    home = journal.home
    here = records.load(home, identifier)
    run_id = here.run
    if "processes" not in options:
        options["processes"] = processes = Processes(journal.home, ("seatrial.services.steps",))
        processes.get_ready()
    if not run_id:
        run_id, _ = runs.begin(journal, plan.of(here))
        here = records.change(home, identifier, run=run_id)
    elif journal.run(run_id)["ended"] is not None:
        options["processes"].close()
        return str(journal.run(run_id)["status"])
    with _tending(home, [part.service for part in here.parts]):
        return runs.execute(journal, run_id, **options)


def stop(journal: Journal, identifier: str) -> ServiceDeployment:
    """Stop a deployment, whoever is in charge of it or nobody: what was before has all the traffic again.

    Raises:
        UsageError: it has ended.
        Busy: the process in charge does not react.
    """
    home = journal.home
    here = records.settle(journal, records.load(home, identifier), SystemClock().now())
    if here.status in ENDED and not _is_open(journal, here):
        raise UsageError(f"{identifier} has ended: {here.status}")
    now = SystemClock().now()
    records.tell(home, identifier, Event(at=now, kind="request", text="a stop is asked for by hand"))
    if here.run:
        with _tending(home, [part.service for part in here.parts]):
            runs.cancel(home, here.run)
    return records.settle(journal, records.load(home, identifier), now)


@contextmanager
def _tending(home: Path, services: Sequence[str]) -> Iterator[None]:
    """See to it that the services have their keepers: what a step starts itself would end with a step that is stopped."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(_TENDING):
            for service in services:
                with suppress(SeatrialError, OSError):
                    if written.read_wanted(folder(home, service)) is not None:
                        waking.ensure_keeper(folder(home, service))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _unfinished(journal: Journal, wanted: Wanted, now: float) -> ServiceDeployment | None:
    """The deployment that was cut off and asked for the same. Of one that was being rolled back it is that one, whose
    run has the rollback in it.

    Raises:
        Limited: there is another one.
    """
    for piece in wanted.pieces:
        for latest in records.of_service(journal.home, piece.name)[:_LATEST]:
            one = records.settle(journal, latest, now)
            open_run = _is_open(journal, one)
            if one.creator != "user" or (one.status in ENDED and not open_run):
                continue
            alive = records.in_charge(journal, one)
            if open_run and not alive and _same(one, wanted):
                return one
            raise _limited(piece.name, one, alive=alive, cut_off=open_run and not alive)
    return None


def _is_open(journal: Journal, one: ServiceDeployment) -> bool:
    """Whether the deployment's run has something left to do, as to let the old version go."""
    return bool(one.run) and journal.run(one.run)["ended"] is None


def _limited(service: str, one: ServiceDeployment, *, alive: bool, cut_off: bool) -> Limited:
    why = "a living process is in charge of it" if alive else "it is about to begin"
    fix = f"`seatrial deploy watch {one.id}` follows it, `seatrial deploy stop {one.id}` stops it"
    if cut_off:
        why = "it was cut off, and asked for something else"
        fix = f"`seatrial runs resume {one.run}` goes on with it, `seatrial deploy stop {one.id}` ends it"
    return Limited(f"the service {service} already has an active deployment {one.id}", why=why, fix=fix)


def _same(one: ServiceDeployment, wanted: Wanted) -> bool:
    return one.strategy == strategy_of(wanted) and {part.service: part.after for part in one.parts} == {
        piece.name: piece.revision.id for piece in wanted.pieces
    }


def _brought_up(home: Path, pieces: Sequence[Piece]) -> tuple[Part, ...]:
    """All services listen, or none that did not before."""
    fresh = [piece.name for piece in pieces if written.read_wanted(folder(home, piece.name)) is None]
    try:
        return tuple(_part(home, piece) for piece in pieces)
    except BaseException:
        for name in fresh:
            with suppress(SeatrialError):
                target.down(home, name)
        raise


def _part(home: Path, piece: Piece) -> Part:
    """What the deployment does to a service, which listens from now on."""
    there = target.bring_up(home, piece.name, piece.service)
    url = f"http://127.0.0.1:{there.listening.port}"
    return Part(
        service=piece.name,
        before=retiring.serving(there),
        after=piece.revision.id,
        source=piece.revision.source,
        replicas=piece.service.replicas,
        deploy=piece.service.deploy,
        new=not there.revisions,
        cwd=piece.cwd,
        url=url,
        test_url=f"http://127.0.0.1:{there.listening.test_port}",
    )


def _written(home: Path, deployment: ServiceDeployment) -> ServiceDeployment:
    with changing(home):
        deployment = records.create(home, deployment)
    text = f"{deployment.id}: {', '.join(f'{part.service} {part.after}' for part in deployment.parts)}"
    event = Event(at=deployment.created, kind="created", text=text, data={"strategy": deployment.strategy})
    records.tell(home, deployment.id, event)
    return deployment
