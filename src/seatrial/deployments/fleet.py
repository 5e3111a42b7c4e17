"""The steps of a deployment to a group. They are called by the engine, each in its own process.

What they know of each other is in the deployment's record, changed by one at a time. A host is told what to do under
the deployment's id, and answers the same id with the same result, so whoever goes on never deploys twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments import alarms, deployments, groups, records, revisions, rollout
from seatrial.deployments.deployments import ENDED, Deployment, OnHost
from seatrial.deployments.hosts import asking
from seatrial.deployments.hosts import model as hosts
from seatrial.engine import run as runs
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.hosts.model import Place
    from seatrial.engine.call import Context
    from seatrial.engine.journal import Journal

_LOOK = 0.2
"""Seconds between looks at whose turn it is."""
_STOPPING = 60.0


def begin(context: Context, deployment: str) -> dict[str, Any]:
    """Say that the deployment begins, unless an alarm is on."""
    home = context.journal.home
    ringing = alarms.ringing(home, deployments.load(home, deployment), [])
    with records.changing(home):
        here = deployments.load(home, deployment)
        if here.status in ENDED:
            raise SeatrialError(
                f"{deployment} has ended already: {here.status}", why=here.error_message or None
            )
        now = context.clock.now()
        here = msgspec.structs.replace(here, status="InProgress", started=here.started or now, alarm=ringing)
        deployments.save(home, here)
    context.say(f"{deployment}: revision {here.revision} to {len(here.hosts)} hosts of {here.label}")
    return {"summary": f"{here.revision} to {len(here.hosts)} hosts, {here.configuration.name}"}


def host(context: Context, deployment: str, name: str) -> dict[str, Any]:
    """Deploy to a host when it is its turn; says how that went. It passes whatever came of it."""
    home = context.journal.home
    if not _await_turn(context, deployment, name):
        context.say(f"{name}: {deployments.load(home, deployment).where(name).status}")
        return _outputs(deployments.load(home, deployment).where(name))
    context.reach("deployment/turn")
    here = _deploy(context, deployments.load(home, deployment), name)
    context.reach("deployment/deployed")
    with records.changing(home):
        latest = deployments.enter(home, deployments.load(home, deployment), name, here)
    if here.status == "Succeeded" and not latest.alarm:
        _listen(context, latest)
    context.say(f"{name}: {here.status}" + (f": {here.message}" if here.message else ""))
    return _outputs(here)


def verdict(context: Context, deployment: str) -> dict[str, Any]:
    """Say how the deployment went.

    Raises:
        SeatrialError: it failed, or an alarm stopped it.
    """
    home = context.journal.home
    here = deployments.load(home, deployment)
    ringing = here.alarm or alarms.ringing(home, here, _good(here))
    with records.changing(home):
        here = deployments.load(home, deployment)
        now = context.clock.now()
        if here.status not in ENDED:
            status, code, why = _judge(msgspec.structs.replace(here, alarm=ringing), now)
            here = deployments.end(
                home, msgspec.structs.replace(here, alarm=ringing), status, code=code, message=why, now=now
            )
    if here.status != "Succeeded":
        raise SeatrialError(f"{here.error_code}: {here.error_message}")
    return {"status": here.status, "summary": _sum(here)}


def close(context: Context, deployment: str) -> dict[str, Any]:
    """Write down that the deployment ended, when it was stopped or broke before its verdict."""
    home = context.journal.home
    with records.changing(home):
        here = deployments.load(home, deployment)
        now = context.clock.now()
        if here.status not in ENDED:
            if here.stop or context.journal.run(context.run)["request"]:
                message = "The deployment was stopped by request."
                here = deployments.end(home, here, "Stopped", code="MANUAL_STOP", message=message, now=now)
            else:
                message = "A step of the deployment failed: `seatrial runs show` tells which."
                here = deployments.end(home, here, "Failed", code="INTERNAL_ERROR", message=message, now=now)
    return {"status": here.status, "summary": _sum(here)}


def rollback(context: Context, deployment: str) -> dict[str, Any]:
    """Deploy the last good revision where the deployment's end asks for that; a deployment of its own.

    Raises:
        SeatrialError: that one did not succeed.
    """
    home = context.journal.home
    with records.changing(home):
        here = deployments.load(home, deployment)
        if not _wanted(here):
            return {"deployment": "", "summary": "nothing to undo"}
        follower = _follower(home, here, context.clock.now())
    if follower is None:
        return {"deployment": "", "summary": deployments.load(home, deployment).rollback_message}
    context.say(f"{deployment} is rolled back by {follower.id}, revision {follower.revision}")
    carry_out(context.journal, follower.id)
    ended = deployments.load(home, follower.id)
    if ended.status != "Succeeded":
        raise SeatrialError(f"the rollback {ended.id} did not succeed: {ended.error_message}")
    return {"deployment": ended.id, "summary": f"{ended.id}: {_sum(ended)}"}


def carry_out(journal: Journal, identifier: str, **options: Any) -> str:
    """Begin the run of a deployment, or go on with it, and return the run's status.

    Raises:
        Busy: another process is in charge.
    """
    from seatrial.deployments import plan

    home = journal.home
    here = deployments.load(home, identifier)
    run_id = here.run
    if not run_id:
        run_id, _ = runs.begin(journal, plan.group(here))
        with records.changing(home):
            here = deployments.load(home, identifier)
            deployments.save(home, msgspec.structs.replace(here, run=run_id))
    elif journal.run(run_id)["ended"] is not None:
        return str(journal.run(run_id)["status"])
    return runs.execute(journal, run_id, **options)


def _await_turn(context: Context, deployment: str, name: str) -> bool:
    """Wait until the host may be deployed to (True), or is not going to be."""
    home = context.journal.home
    while True:
        with records.changing(home):
            here = deployments.load(home, deployment)
            now = context.clock.now()
            mine = here.where(name)
            if mine.status == "InProgress":
                return True  # of an attempt that was lost
            if mine.status != "Pending":
                return False
            decision = rollout.decide(here.hosts, here.configuration, here.states(), now)
            if here.alarm or here.stop or decision.status:
                deployments.enter(home, here, name, OnHost(status="Skipped"))
                return False
            status = "Baking" if decision.until else "InProgress"
            if name in decision.start:
                here = msgspec.structs.replace(here, status="InProgress")
                deployments.enter(home, here, name, OnHost(status="InProgress", started=now))
                return True
            if status != here.status:
                deployments.save(home, msgspec.structs.replace(here, status=status))
        if decision.until:
            _listen(context, here)
        context.clock.sleep(_LOOK)


def _deploy(context: Context, here: Deployment, name: str) -> OnHost:
    """Have the host deploy, and say how that went."""
    from seatrial.deployments import on_host

    home = context.journal.home
    before = here.where(name)
    place = hosts.known(home, name)
    try:
        return _tell(context, here, _known(home, name), before)
    except SeatrialError as error:
        events = on_host.events(place, here.id) if place is not None else ()
        return msgspec.structs.replace(
            before,
            status="Failed",
            ended=context.clock.now(),
            error_code="UnknownError",
            message=error.what + (f" ({error.why})" if error.why else ""),
            events=on_host.cut_off(events, context.clock.now()),
        )


def _known(home: Path, name: str) -> Place:
    place = hosts.known(home, name)
    if place is None:
        raise SeatrialError(f"host {name} is not written down any more")
    return place


def _tell(context: Context, here: Deployment, place: Place, before: OnHost) -> OnHost:
    from seatrial.deployments import on_host

    home = context.journal.home
    group = groups.load(home, here.label)
    revision = revisions.load(home, here.application, here.revision)
    argv = on_host.command(here, group, revision, place)
    try:
        answer = asking.give(place, here.id, argv, exclusive=True)
    except (KeyboardInterrupt, SystemExit):
        # Somebody asked to stop: the host ends its hook and says so, and only then are we gone.
        asking.stop_order(place, here.id)
        try:
            answer = asking.outcome(place, here.id, timeout=_STOPPING)
        except SeatrialError:
            asking.stop_order(place, here.id, hard=True)
            answer = {"code": -9, "stdout": "", "stderr": ""}
        ended = on_host.told(before, answer, on_host.events(place, here.id), context.clock.now())
        if ended.status != "Succeeded":
            ended = msgspec.structs.replace(ended, message=ended.message or "stopped by request")
        with records.changing(home):
            deployments.enter(home, deployments.load(home, here.id), place.name, ended)
        raise
    return on_host.told(before, answer, on_host.events(place, here.id), context.clock.now())


def _listen(context: Context, here: Deployment) -> None:
    """Ask the alarms; one that is on keeps further hosts from being deployed to."""
    home = context.journal.home
    ringing = alarms.ringing(home, here, _good(here))
    if ringing:
        context.say(f"alarm {ringing} is on")
        with records.changing(home):
            latest = deployments.load(home, here.id)
            if not latest.alarm and latest.status not in ENDED:
                deployments.save(home, msgspec.structs.replace(latest, alarm=ringing))


def _judge(here: Deployment, now: float) -> tuple[Any, str, str]:
    if here.alarm:
        why = f"One or more alarms have been activated, and the deployment has been stopped. Activated alarms: {here.alarm}"
        return "Stopped", "ALARM_ACTIVE", why
    # What was skipped had no turn; whether the others were enough is decided without it.
    states = {name: state for name, state in here.states().items() if state.status != "Skipped"}
    decision = rollout.decide(here.hosts, here.configuration, states, now)
    if decision.status:
        return decision.status, decision.code, decision.why
    return "Failed", "HEALTH_CONSTRAINTS", rollout.TOO_FEW


def _wanted(here: Deployment) -> bool:
    """Whether the way a deployment ended asks for a rollback; a rollback is not rolled back."""
    if here.creator != "user" or here.status not in ("Failed", "Stopped"):
        return False
    if here.status == "Failed":
        return "DEPLOYMENT_FAILURE" in here.rollback_on
    if here.error_code == "ALARM_ACTIVE":
        return "DEPLOYMENT_STOP_ON_ALARM" in here.rollback_on
    return (
        "DEPLOYMENT_STOP_ON_REQUEST" in here.rollback_on if here.stop_rollback is None else here.stop_rollback
    )


def _follower(home: Path, here: Deployment, now: float) -> Deployment | None:
    """The deployment that undoes `here`: the one that was written down before, or a new one."""
    if here.rolled_back_by:
        return deployments.load(home, here.rolled_back_by)
    group = groups.load(home, here.label)
    before = next((one for one in deployments.every(home) if one.rollback_of == here.id), None)
    good = deployments.last_good(home, group)
    if before is None and not any(item.status not in ("Pending", "Skipped") for item in here.on.values()):
        message = "No host was touched, so there is nothing to roll back."
        deployments.save(home, msgspec.structs.replace(here, rollback_message=message))
        return None
    if before is None and good is None:
        message = "No deployment to this group has succeeded yet, so there is no revision to roll back to."
        deployments.save(home, msgspec.structs.replace(here, rollback_message=message))
        return None
    if before is None and good is not None:
        before = deployments.create(
            home,
            group,
            revisions.load(home, here.application, good.revision),
            now=now,
            configuration=here.configuration,
            creator="codeDeployRollback",
            description=f"Rolls back {here.id} to the revision of {good.id}.",
            rollback_of=here.id,
            rollback_on=(),
            overwriting=here.overwriting,
            allow=here.allow,
        )
    if before is not None:
        message = f"Deployment {before.id} rolls back to revision {before.revision}."
        deployments.save(
            home, msgspec.structs.replace(here, rolled_back_by=before.id, rollback_message=message)
        )
    return before


def _good(here: Deployment) -> list[str]:
    return [name for name, one in here.on.items() if one.status == "Succeeded"]


def _outputs(here: OnHost) -> dict[str, Any]:
    return {
        "status": here.status,
        "message": here.message,
        "summary": f"{here.status} {here.message}".strip(),
    }


def _sum(here: Deployment) -> str:
    return f"{here.status}: " + ", ".join(f"{count} {status}" for status, count in here.counts().items())
