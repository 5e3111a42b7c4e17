"""Undoing a deployment that did not succeed: the version before has all the traffic again, at once.

As in CodeDeploy a rollback is a deployment of its own, of the last good revision. A service's first deployment has
nothing before it: what it brought is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.deployments import ENDED
from seatrial.deployments.records import changing
from seatrial.errors import SeatrialError
from seatrial.services import control, hooks, records, target, waking, written
from seatrial.services.model import ALL, folder
from seatrial.services.records import Event, Part, ServiceDeployment

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.deployments import Overall
    from seatrial.engine.call import Context


def how_it_ended(context: Context, here: ServiceDeployment) -> tuple[Overall, str, str]:
    """Status, CodeDeploy's code and the reason of a deployment that did not get to its end."""
    journal = context.journal
    stopped = bool(journal.run(context.run)["request"])
    if here.error_code:
        by_request = here.error_code == "MANUAL_STOP" and stopped
        status: Overall = "Stopped" if by_request or here.error_code == "ALARM_ACTIVE" else "Failed"
        return status, here.error_code, here.why
    if stopped:
        return "Stopped", "MANUAL_STOP", "The deployment was stopped by request."
    failed = journal.rows(
        "SELECT name, error FROM steps WHERE run=? AND status='fail' ORDER BY ended LIMIT 1", context.run
    )
    if not failed:
        return "Failed", "INTERNAL_ERROR", "The deployment did not get to its end."
    name, error = failed[0]["name"], failed[0]["error"].strip()
    code = "INTERNAL_ERROR"
    if name.partition(".")[0] in hooks.EVENTS:
        code = "HOOK_EXECUTION_FAILURE"
        error = f"hook {name} failed: {error.splitlines()[-1] if error else 'it says nothing'}"
    elif name.startswith("install."):
        code = "HEALTH_CONSTRAINTS"
    return "Failed", code, error


def undo(context: Context, deployment: str) -> dict[str, Any]:
    """Bring the version before back, unless the deployment has succeeded or is a rollback itself; then it has ended.

    Raises:
        SeatrialError: that does not work.
    """
    home = context.journal.home
    here = records.load(home, deployment)
    if here.status == "Succeeded":
        return {"deployment": "", "summary": "nothing to undo"}
    status, code, why = how_it_ended(context, here)
    here = records.change(home, deployment, error_code=code, why=why)
    try:
        return _undone(context, here)
    finally:
        # Only now: until then it is the one that has the services, whoever goes on with it after a crash.
        records.end(home, deployment, status, now=context.clock.now(), code=code, why=why)


def _undone(context: Context, here: ServiceDeployment) -> dict[str, Any]:
    home = context.journal.home
    if here.rollback_of:
        return _left(context, here, "A rollback that failed is not rolled back.")
    for part in here.parts:
        if not part.before:
            _take_away(context, here, part)
    back = [part for part in here.parts if part.compared]
    for part in back:
        _end_control(home, part)
    if not here.rolled_back_by and not any(_is_there(home, part) for part in back):
        message = "What there was before has all the traffic." if back else "There was no version before."
        return _left(context, here, message)
    follower = _follower(home, here, back, context.clock.now())
    if follower.status in ENDED:
        return {"deployment": follower.id, "summary": f"{follower.id} {follower.status}"}
    context.say(f"{here.id} is rolled back by {follower.id}")
    context.reach("deployment/rollback")
    try:
        for part in back:
            _bring_back(context, here, follower, part)
    except SeatrialError as error:
        now = context.clock.now()
        records.end(home, follower.id, "Failed", now=now, code="INTERNAL_ERROR", why=str(error))
        raise
    records.end(home, follower.id, "Succeeded", now=context.clock.now())
    return {"deployment": follower.id, "summary": records.load(home, here.id).rollback_message}


def _is_there(home: Path, part: Part) -> bool:
    wanted = written.read_wanted(folder(home, part.service))
    return wanted is not None and part.after in wanted.revisions


def _take_away(context: Context, here: ServiceDeployment, part: Part) -> None:
    """A first version goes, and the service with it when the deployment made it."""
    home = context.journal.home
    wanted = written.read_wanted(folder(home, part.service))
    if wanted is None:
        return
    if part.new:
        target.down(home, part.service)
        text = "the service is gone again: this was its first version"
    elif part.after in wanted.revisions:
        target.remove(home, part.service, part.after)
        text = f"{part.after} is gone again: there is no version before it"
    else:
        return
    _tell(context, here.id, "rollback", text, part.service)


def _end_control(home: Path, part: Part) -> None:
    """The fresh instances of the old version go, after their traffic went to the others."""
    wanted = written.read_wanted(folder(home, part.service))
    if wanted is not None and control.there(wanted, part):
        target.shift(home, part.service, {part.before: ALL})
        control.end(home, part)


def _bring_back(context: Context, here: ServiceDeployment, follower: ServiceDeployment, part: Part) -> None:
    home = context.journal.home
    waking.ensure_keeper(folder(home, part.service))
    target.shift(home, part.service, {part.before: ALL})
    if target.look(home, part.service)[0].shadow:
        target.mirror(home, part.service, "", 0)
    target.expose(home, part.service, part.before)
    for one in (here, follower):
        _tell(context, one.id, "rollback", f"{part.before} has all the traffic", part.service)
    context.reach("deployment/rolled-back")
    target.remove(home, part.service, part.after)
    control.end(home, part)
    _tell(context, follower.id, "note", f"{part.after} has answered what it had and is gone", part.service)


def _follower(home: Path, here: ServiceDeployment, parts: list[Part], now: float) -> ServiceDeployment:
    """The deployment that undoes `here`: the one that was written down before, or a new one."""
    if here.rolled_back_by:
        return records.load(home, here.rolled_back_by)
    with changing(home):
        found = next((one for one in records.every(home) if one.rollback_of == here.id), None)
        if found is None:
            found = records.create(
                home,
                msgspec.structs.replace(
                    here,
                    parts=tuple(msgspec.structs.replace(one, before=one.after, after=one.before) for one in parts),
                    strategy="all-at-once",
                    bake=0.0,
                    test=0.0,
                    creator="codeDeployRollback",
                    status="InProgress",
                    description=f"Rolls back {here.id}.",
                    created=now,
                    started=now,
                    ended=None,
                    error_code="",
                    why="",
                    rollback_of=here.id,
                ),
            )  # fmt: skip
        good = ", ".join(f"{part.before} of {part.service}" for part in parts)
        message = f"Deployment {found.id} rolls back to {good}."
        records.save(home, msgspec.structs.replace(here, rolled_back_by=found.id, rollback_message=message))
    return found


def _left(context: Context, here: ServiceDeployment, message: str) -> dict[str, Any]:
    records.change(context.journal.home, here.id, rollback_message=message)
    return {"deployment": "", "summary": message}


def _tell(context: Context, identifier: str, kind: str, text: str, service: str) -> None:
    event = Event(at=context.clock.now(), kind=kind, text=text, service=service)
    records.tell(context.journal.home, identifier, event)
    context.say(f"{service}: {text}")
