"""What a deployment on a host came to, out of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.agent.diagnostics import AFTER_RESTART, NAMES, UNKNOWN, Diagnostics
from seatrial.deployments.agent.records import Places

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.agent.order import Order
    from seatrial.errors import SeatrialError

_STATUS = {
    "pass": "Succeeded",
    "fail": "Failed",
    "skip": "Skipped",
    "stopped": "Failed",
    "running": "InProgress",
}
_RESTARTED = "Failing in-progress lifecycle event after an agent restart."


class Event(msgspec.Struct, frozen=True):
    """A lifecycle event as CodeDeploy shows it. Times are ISO 8601; `diagnostics` are there once it is over."""

    name: str
    status: str
    started: str | None
    ended: str | None
    diagnostics: Diagnostics | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`result` is ok or error; `error_code` and what follows are the diagnostics of the event that decided."""

    result: str
    error_code: int
    error: str
    script_name: str
    message: str
    log: str
    why: str
    fix: str
    deployment_id: str
    run: str
    logs: str
    events: tuple[Event, ...]


def report(order: Order, data: dict[str, Any], folder: Path) -> Report:
    """`data` is the run as `engine.run.describe` tells it, `folder` its own folder."""
    events = tuple(_event(stage, folder / "work" / "diagnostics") for stage in data["stages"])
    failed = next((e.diagnostics for e in events if e.diagnostics and e.diagnostics.error_code), None)
    if failed is None and data["status"] != "succeeded":
        stopped = data["status"] == "stopped"
        failed = Diagnostics(
            UNKNOWN, "", "The deployment was stopped." if stopped else data["error"] or "", ""
        )
    said = "".join(e.diagnostics.log for e in events if e.diagnostics)[-2048:]
    final = failed or Diagnostics(log=said)
    return Report(
        result="error" if failed else "ok",
        error_code=final.error_code,
        error=NAMES[final.error_code],
        script_name=final.script_name,
        message=final.message,
        log=final.log,
        why=final.why,
        fix=final.fix,
        deployment_id=order.deployment,
        run=data["id"],
        logs=str(Places(order).scripts_log),
        events=events,
    )


def refused(error: SeatrialError) -> dict[str, Any]:
    """The report of an order that was not followed."""
    return {
        "result": "error",
        "error_code": UNKNOWN,
        "error": NAMES[UNKNOWN],
        "script_name": "",
        "message": error.what,
        "log": "",
        "why": error.why or "",
        "fix": error.fix or "",
        "events": [],
    }


def text(found: Report) -> str:
    """For a person: each event with its time, and what went wrong."""
    lines = [f"{'ok' if found.result == 'ok' else 'failed'}  deployment {found.deployment_id}"]
    lines += [f"  {event.status:<10} {event.name}" for event in found.events]
    if found.result != "ok":
        lines.append(f"{found.error} ({found.error_code}): {found.message}")
        lines += [f"  | {line}" for line in found.log.splitlines()]
        lines += [f"  cause: {found.why}"] if found.why else []
        lines += [f"  fix: {found.fix}"] if found.fix else []
    lines.append(f"scripts' log: {found.logs}")
    return "\n".join(lines) + "\n"


def _event(stage: dict[str, Any], folder: Path) -> Event:
    status = _STATUS.get(stage["status"], "Pending")
    said = None
    try:
        said = msgspec.json.decode((folder / f"{stage['name']}.json").read_bytes(), type=Diagnostics)
    except (OSError, msgspec.MsgspecError):
        if status == "Failed" and stage["status"] != "stopped":
            said = _vanished(stage)
    if status == "Failed" and said is not None and not said.error_code:
        said = _vanished(stage)
    return Event(stage["name"], status, stage["started"], stage["ended"], said)


def _vanished(stage: dict[str, Any]) -> Diagnostics:
    """Of an event that could not say itself how it ended."""
    lost = any(attempt["outcome"] in ("lost", "signal") for attempt in stage["attempts"])
    if lost:
        return Diagnostics(AFTER_RESTART, "", _RESTARTED, "")
    return Diagnostics(UNKNOWN, "", stage["error"] or "the event ended without a word", "")
