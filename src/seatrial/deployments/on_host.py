"""A host's part of a deployment: what its agent is told, and what it said."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.deployments import Event, OnHost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.deployments.deployments import Deployment
    from seatrial.deployments.groups import Group
    from seatrial.deployments.hosts.model import Place
    from seatrial.deployments.revisions import Revision

_CODES = ("ScriptMissing", "ScriptNotExecutable", "ScriptTimedOut", "ScriptFailed")
"""Names of what went wrong that the service has, too; for the rest it says UnknownError."""


EVENTS = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
"""The lifecycle of a host that no load balancer sends traffic to."""


def command(deployment: Deployment, group: Group, revision: Revision, place: Place) -> list[str]:
    """What the host runs."""
    return [
        *(sys.executable, "-m", "seatrial", "deploy", "agent", "--json"),
        *("--bundle", revision.kept, "--type", revision.type),
        *("--group", group.id, "--group-name", group.name, "--application", deployment.application),
        *("--root", place.root, "--deployment-id", deployment.id),
        *("--file-exists-behavior", deployment.overwriting, "--creator", deployment.creator),
        *("--events", ",".join(EVENTS)),
        *(word for one in deployment.allow for word in ("--allow", one)),
    ]


def told(before: OnHost, answer: dict[str, Any], events: Iterable[Event], now: float) -> OnHost:
    """How the deployment on a host ended, by what its agent answered."""
    try:
        said = json.loads(answer["stdout"])
        ok = answer["code"] == 0 and said["result"] == "ok"
    except (ValueError, KeyError, TypeError):
        said, ok = {}, False
    shown = tuple(_event(one) for one in said.get("events") or ()) or tuple(events)
    if ok:
        return msgspec.structs.replace(before, status="Succeeded", ended=now, events=shown)
    how = f"the agent ended with {_ending(answer['code'])}"
    last = (answer.get("stderr") or "").strip().splitlines()[-1:]
    return msgspec.structs.replace(
        before,
        status="Failed",
        ended=now,
        error_code=said["error"] if said.get("error") in _CODES else "UnknownError",
        script_name=said.get("script_name") or "",
        message=said.get("message") or ": ".join([how, *last]),
        log=said.get("log") or "",
        events=cut_off(shown, now),
    )


def events(place: Place, deployment: str) -> tuple[Event, ...]:
    """The lifecycle events of a deployment on a host, as far as they have come; none when it has not begun."""
    from seatrial.deployments.agent import report
    from seatrial.deployments.agent.order import Order
    from seatrial.engine import journal as journals
    from seatrial.engine.run import describe
    from seatrial.errors import SeatrialError

    if not (place.state / journals.FILE).exists():
        return ()
    journal = journals.Journal(place.state)
    try:
        found = journal.rows(
            "SELECT id FROM runs WHERE substr(key, -?)=?", len(deployment) + 1, f"/{deployment}"
        )
        if not found:
            return ()
        run = str(found[-1]["id"])
        action: Any = journal.plan(run).stages[0].steps[0].action
        order = msgspec.convert(action.inputs["order"], Order)
        said = report.report(order, describe(journal, run), journal.folder(run))
        return tuple(_event(msgspec.to_builtins(one)) for one in said.events)
    except (SeatrialError, msgspec.MsgspecError, AttributeError, KeyError):
        return ()  # what was being written when the host went away
    finally:
        journal.close()


def cut_off(found: Iterable[Event], now: float) -> tuple[Event, ...]:
    """Events of which no more will come: one that was in progress has failed, what would have followed is skipped."""
    ends = {"InProgress": "Failed", "Pending": "Skipped"}
    return tuple(
        msgspec.structs.replace(
            one,
            status=ends.get(one.status, one.status),
            ended=one.ended or (now if one.status == "InProgress" else None),
        )
        for one in found
    )


def _event(said: dict[str, Any]) -> Event:
    return Event(
        name=said["name"],
        status=said["status"],
        started=_seconds(said["started"]),
        ended=_seconds(said["ended"]),
    )


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
