"""The steps of a deployment of services. They are called by the engine, each in its own process.

Each may be cut off anywhere and is done again then: what should be is said to the services' keepers, who leave alone
what is so already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.deployments import ENDED
from seatrial.deployments.observing import seconds, windows
from seatrial.errors import SeatrialError
from seatrial.services import control, pending, records, retiring, revisions, shift, target, undoing
from seatrial.services.model import control_of
from seatrial.services.records import Event

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.engine.call import Context
    from seatrial.services.records import Part, ServiceDeployment


def begin(context: Context, deployment: str) -> dict[str, Any]:
    """Say that the deployment begins.

    Raises:
        SeatrialError: it has ended already.
    """
    home = context.journal.home
    here = records.load(home, deployment)
    if here.status in ENDED:
        raise SeatrialError(f"{deployment} has ended already: {here.status}", why=here.why or None)
    records.change(home, deployment, status="InProgress", started=here.started or context.clock.now())
    for part in here.parts:
        _say(context, here, "stage", _begins(here, part), part.service)
    return {"summary": f"{here.label}, {here.strategy}"}


def install(context: Context, deployment: str, service: str) -> dict[str, Any]:
    """Start the new version's instances beside the old one's, and wait until they are ready."""
    home = context.journal.home
    here = records.load(home, deployment)
    part = here.part(service)
    retiring.keep(home, service, {part.before, part.after, control_of(part.before)})
    target.install(home, service, revisions.load(home, service, part.after), part.replicas)
    context.reach("deployment/installed")
    began = context.clock.now()
    target.await_ready(home, service, part.after)
    text = f"{part.replicas} of {part.after} ready after {context.clock.now() - began:.1f} s"
    _say(context, here, "stage", text, service)
    if control.serves(part, shift.strategy_of(here)) and not here.rollback_of:
        said = control.install(home, part, revisions.load(home, service, part.before))
        _say(context, here, "note", said, service)
    return {"summary": text}


def expose(context: Context, deployment: str) -> dict[str, Any]:
    """Let the test listener reach the new version, and leave it to that for a while where the deployment says so."""
    home = context.journal.home
    here = records.load(home, deployment)
    for part in here.parts:
        target.expose(home, part.service, part.after)
        text = f"{part.after} answers on {part.test_url}, and to requests with {part.deploy.test_header}"
        _say(context, here, "stage", text, part.service)
    if here.test:
        pending.wait(context, deployment, here.test)
    return {"summary": ", ".join(part.test_url for part in here.parts)}


def shadow(context: Context, deployment: str) -> dict[str, Any]:
    """Compare both versions' answers to copies of real requests."""
    from seatrial.services import shadowing

    return shadowing.compare(context, deployment)


def traffic(context: Context, deployment: str) -> dict[str, Any]:
    """Shift the traffic, as fast as the evidence allows."""
    where = shift.carry_on(context, deployment, bake=False)
    return {"share": where.share, "summary": where.why}


def bake(context: Context, deployment: str) -> dict[str, Any]:
    """Watch the new version with all the traffic, while the old one is still there."""
    home = context.journal.home
    here = records.load(home, deployment)
    if here.bake:
        records.change(home, deployment, status="Baking")
    where = shift.carry_on(context, deployment, bake=True)
    return {"summary": where.why}


def retire(context: Context, deployment: str) -> dict[str, Any]:
    """Say that the deployment succeeded, and let the old version go: at once, or after a time in which it is ready."""
    home = context.journal.home
    here = records.end(home, deployment, "Succeeded", now=context.clock.now())
    said = []
    for part in here.parts:
        target.expose(home, part.service, part.after)
        control.end(home, part)
        retiring.fewer(home, part.service, part.after, part.replicas)
        if part.compared:
            keep = 0.0 if here.rollback_of else part.deploy.keep_old
            said.append(retiring.retire(home, part.service, part.before, keep, context.clock.now()))
            _say(context, here, "note", said[-1], part.service)
        revisions.prune(home, part.service, retiring.used(home, part.service))
    return {"summary": "; ".join(said) or "there is no old version"}


def rollback(context: Context, deployment: str) -> dict[str, Any]:
    """Bring the version before back when the deployment did not succeed; a deployment of its own."""
    return undoing.undo(context, deployment)


def close(context: Context, deployment: str) -> dict[str, Any]:
    """Write down what came of it: requests, failures, the split in each step, and the verdicts."""
    home = context.journal.home
    now = context.clock.now()
    here = records.load(home, deployment)
    if here.status not in ENDED:
        status, code, why = undoing.how_it_ended(context, here)
        here = records.end(home, deployment, status, now=now, code=code, why=why)
    outputs = summed(home, here)
    counts = f"{outputs['requests']} requests, {outputs['failures']} failed"
    return {**outputs, "status": here.status, "summary": f"{here.status}: {counts}"}


def summed(home: Path, here: ServiceDeployment) -> dict[str, Any]:
    """A deployment in numbers: of all services together, and of each."""
    services = {}
    for part in here.parts:
        timeline = records.timeline(home, here.id, part.service)
        found = windows.totals(seconds.read(timeline), part.after)
        services[part.service] = msgspec.to_builtins(found)
    verdicts = [
        {"at": event.at, "service": event.service, "text": event.text, **event.data}
        for event in records.events(home, here.id)
        if event.kind == "verdict"
    ]
    shifted = records.shift_of(home, here.id)
    return {
        "requests": sum(one["requests"] for one in services.values()),
        "failures": sum(one["failures"] for one in services.values()),
        "split": [{"service": name, **split} for name, one in services.items() for split in one["splits"]],
        "verdicts": verdicts,
        "services": services,
        "ended": {"status": shifted.status, "why": shifted.why} if shifted else None,
    }


def _begins(here: ServiceDeployment, part: Part) -> str:
    if part.before == part.after:
        return f"{part.after} is what is there: its instances are made as many as wanted, no traffic shifts"
    if not part.before:
        return f"{part.after} is the first version: it has all the traffic as soon as it is ready"
    judged = (
        "" if part.deploy.analysis is not None else "; nothing is compared: time, alarms and health decide"
    )
    return f"{part.after} after {part.before}, {here.strategy}{judged}"


def _say(context: Context, here: ServiceDeployment, kind: str, text: str, service: str = "") -> None:
    at = context.clock.now()
    records.tell(context.journal.home, here.id, Event(at=at, kind=kind, text=text, service=service))
    context.say(f"{service}: {text}" if service else text)
