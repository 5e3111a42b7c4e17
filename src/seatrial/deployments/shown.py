"""Deployments as data and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.clock import iso
from seatrial.deployments import on_host, revisions
from seatrial.deployments.hosts import model as hosts
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.deployments.deployments import Deployment, OnHost

_SIGNS = {"Succeeded": "✓", "Failed": "✗", "InProgress": "…", "Skipped": "-", "Pending": " ", "Unknown": "?"}


def data(home: Path, one: Deployment, *, whole: bool = True) -> dict[str, Any]:
    """A deployment as `--json` prints it; hosts and their events when `whole`."""
    shown = {
        "id": one.id,
        "application": one.application,
        "group": one.group,
        "status": one.status,
        "creator": one.creator,
        "revision": _revision(home, one),
        "configuration": one.configuration.name,
        "description": one.description,
        "created": iso(one.created),
        **_times(one.started, one.ended),
        "error": {"code": one.error_code, "message": one.error_message} if one.error_code else None,
        "alarm": one.alarm or None,
        "rollback": {
            "of": one.rollback_of or None,
            "by": one.rolled_back_by or None,
            "message": one.rollback_message or None,
        },
        "counts": one.counts(),
        "run": one.run or None,
    }
    if whole:
        shown["hosts"] = [_host(home, one, host.name, host.zone) for host in one.order()]
    return shown


def line(one: Deployment) -> str:
    """A deployment in one line."""
    counts = ", ".join(f"{count} {status}" for status, count in one.counts().items())
    undoes = f"  rolls back {one.rollback_of}" if one.rollback_of else ""
    return (
        f"{one.id}  {one.status:<10}  {one.label}  {one.revision}  {iso(one.created)[:19]}Z  {counts}{undoes}"
    )


def text(shown: dict[str, Any]) -> str:
    """A deployment with its hosts and their events, from `data`."""
    revision = shown["revision"]
    lines = [
        f"{shown['id']}  {shown['status']}  {shown['application']}/{shown['group']}  by {shown['creator']}",
        f"revision       {revision['id']}  {revision['location']}",
        f"configuration  {shown['configuration']}",
        f"created        {shown['created']}" + (f"  took {_seconds(shown)}" if shown["ended"] else ""),
    ]
    if shown["description"]:
        lines.append(f"description    {shown['description']}")
    if shown["error"]:
        lines.append(f"error          {shown['error']['code']}: {shown['error']['message']}")
    if shown["rollback"]["of"]:
        lines.append(f"rolls back     {shown['rollback']['of']}")
    if shown["rollback"]["message"]:
        lines.append(f"rollback       {shown['rollback']['message']}")
    for host in shown["hosts"]:
        zone = f"  zone {host['zone']}" if host["zone"] else ""
        lines += [
            "",
            f"{_SIGNS.get(host['status'], '?')} {host['name']}  {host['status']}{zone}  {_seconds(host)}".rstrip(),
        ]
        lines += [_event(event) for event in host["events"]]
        if host["message"]:
            script = f" {host['script_name']}" if host["script_name"] else ""
            lines.append(f"    {host['error_code']}{script}: {host['message']}")
            lines += [f"    | {said}" for said in host["log"].splitlines()[-10:]]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows with their columns one below the other."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    return "\n".join(lines) + "\n"


def _event(event: dict[str, Any]) -> str:
    at = event["started"][11:19] if event["started"] else ""
    return f"    {_SIGNS.get(event['status'], '?')} {event['name']:<18} {event['status']:<10} {at:<8}  {_seconds(event)}".rstrip()


def _host(home: Path, one: Deployment, name: str, zone: str) -> dict[str, Any]:
    here: OnHost = one.where(name)
    events = here.events
    if here.status == "InProgress" and not events:
        place = hosts.known(home, name)
        events = on_host.events(place, one.id) if place else ()
    return {
        "name": name,
        "zone": zone,
        "status": here.status,
        **_times(here.started, here.ended),
        "error_code": here.error_code or None,
        "script_name": here.script_name,
        "message": here.message,
        "log": here.log,
        "events": [
            {"name": event.name, "status": event.status, **_times(event.started, event.ended)}
            for event in events
        ],
    }


def _revision(home: Path, one: Deployment) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.to_builtins(revisions.load(home, one.application, one.revision))
    except SeatrialError:
        return {"id": one.revision, "location": "(gone)"}
    return {key: found[key] for key in ("id", "location", "type", "digest", "version", "description")}


def _times(started: float | None, ended: float | None) -> dict[str, Any]:
    return {
        "started": iso(started) if started else None,
        "ended": iso(ended) if ended else None,
        "duration": round(ended - started, 3) if started and ended else None,
    }


def _seconds(shown: dict[str, Any]) -> str:
    return f"{shown['duration']:.1f} s" if shown["duration"] is not None else ""
