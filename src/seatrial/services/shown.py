"""Deployments of services as data, as text and as a picture."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.clock import iso
from seatrial.deployments.analysis.explain import explain
from seatrial.deployments.deployments import ENDED
from seatrial.deployments.observing import seconds as observed
from seatrial.services import picture as pictures
from seatrial.services import records
from seatrial.services.axes import moments, tick
from seatrial.services.headlines import judgement
from seatrial.services.headlines import line as line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.deployments.observing.model import Second
    from seatrial.engine.journal import Journal
    from seatrial.services.picture import Measured, Picture
    from seatrial.services.records import Event, ServiceDeployment


def data(journal: Journal, one: ServiceDeployment, *, whole: bool = True, now: float = 0) -> dict[str, Any]:
    """A deployment as `--json` prints it; with its events, picture and outputs when `whole`."""
    ended = one.ended
    shown = {
        "id": one.id,
        "kind": "services",
        "status": one.status,
        "services": [_part(part) for part in one.parts],
        "strategy": one.strategy,
        "bake": one.bake,
        "test": one.test,
        "creator": one.creator,
        "description": one.description,
        "created": iso(one.created),
        "started": iso(one.started) if one.started else None,
        "ended": iso(ended) if ended else None,
        "duration": round(ended - one.created, 3) if ended else None,
        "error": {"code": one.error_code, "message": one.why} if one.error_code else None,
        "why": one.why or None,
        "rollback": {
            "of": one.rollback_of or None,
            "by": one.rolled_back_by or None,
            "message": one.rollback_message or None,
        },
        "run": one.run or None,
    }
    if whole:
        shift = records.shift_of(journal.home, one.id)
        shown["shift"] = msgspec.to_builtins(shift) if shift else None
        shown["outputs"] = outputs(journal, one.run) if one.run else {}
        shown["events"] = [event(found) for found in records.events(journal.home, one.id)]
        shown["picture"] = msgspec.to_builtins(picture(journal, one, now))
    return shown


def outputs(journal: Journal, run: str) -> dict[str, Any]:
    """What a deployment came to: requests, failures, the split of each step, and the verdicts; nothing before its end."""
    return {name: value for name, value in journal.outputs(run).get("close", {}).items() if name != "summary"}


def run(journal: Journal, run_id: str) -> dict[str, Any]:
    """The run of a deployment as `--json` prints it, with what the deployment came to as its outputs."""
    from seatrial.engine.run import describe

    return {**describe(journal, run_id), "outputs": outputs(journal, run_id)}


def picture(journal: Journal, one: ServiceDeployment, now: float) -> Picture:
    """The picture of a deployment; when it was rolled back, until its rollback has ended."""
    from seatrial.engine.run import describe

    home = journal.home
    undoing = _undoing(home, one)
    ends = [one.ended or now, *([undoing.ended or now] if undoing else [])]
    stages = describe(journal, one.run)["stages"] if one.run else []
    found = [
        (
            stage["name"],
            stage["status"],
            begun,
            begun + stage["duration"] if stage["duration"] is not None else now,
        )
        for stage in stages
        if stage["started"] and (begun := datetime.fromisoformat(stage["started"]).timestamp())
    ]
    if one.rollback_of:  # made in the run of what it rolls back: what came before is not its own
        found = [phase for phase in found if phase[2] >= one.created or phase[0] == "Rollback"]  # fmt: skip
    events = records.events(home, one.id)
    known = {(event.kind, event.text) for event in events}
    if undoing is not None:
        events += [
            event for event in records.events(home, undoing.id) if (event.kind, event.text) not in known
        ]
    seconds = {part.service: _seconds(home, one, undoing, part.service) for part in one.parts}
    # Closing takes longer than the record says; what it did belongs to the picture.
    until = max(*ends, *(end for *_, end in found)) if one.status in ENDED else now
    return pictures.of(one, events, seconds, found, until=until)


def line(one: ServiceDeployment) -> str:
    """A deployment in one line."""
    undoes = f"  rolls back {one.rollback_of}" if one.rollback_of else ""
    what = ", ".join(f"{part.service} {part.after}" for part in one.parts)
    return f"{one.id}  {one.status:<10}  {what}  {iso(one.created)[:19]}Z  {one.strategy}{undoes}"


def text(one: ServiceDeployment, found: Picture, events: Sequence[Event]) -> str:
    """A deployment with what each version did, and what happened."""
    lines = [
        f"{one.id}  {one.status}  {one.label}  by {one.creator}",
        f"strategy   {one.strategy}" + (f", then {moments(one.bake)} of bake time" if one.bake else ""),
        f"created    {iso(one.created)}"
        + (f"  took {moments(one.ended - one.created)}" if one.ended else ""),
    ]
    for name, words in (
        ("about", one.description),
        ("because", one.why),
        ("undoes", one.rollback_of),
        ("undone by", one.rolled_back_by),
        ("rollback", one.rollback_message),
    ):
        if words:
            lines.append(f"{name:<9}  {words}")
    for part, chart in zip(one.parts, found.charts, strict=True):
        before = f"{part.before} → " if part.before else "first version "
        lines += ["", f"{part.service}  {before}{part.after}  {part.source}".rstrip()]
        if part.url:
            lines.append(f"  address  {part.url}" + (f"  (test: {part.test_url})" if part.test_url else ""))
        lines += [f"  {name:<8} {measured(known)}" for name, known in chart.totals.items()]
        if not chart.points:
            lines.append("  no requests")
        lines += [f"  {words}" for words in verdict(events, part.service)]
    told = [
        f"{tick(max(0.0, event.at - one.created)):>7}  {words}"
        for event in events
        if (words := line_of(event))
    ]
    lines += ["", *told] if told else []
    return "\n".join(lines) + "\n"


def summary(journal: Journal, one: ServiceDeployment) -> str:
    """How a deployment ended, in a few lines: what each service's requests came to, the split, and what decided."""
    sign = "✓" if one.status == "Succeeded" else "✗"
    took = f" after {moments(one.ended - one.created)}" if one.ended else ""
    lines = [f"{sign} {one.id}: {one.status}{took}" + (f": {one.why}" if one.why else "")]
    if one.rollback_message and one.status != "Succeeded":
        lines.append(f"  {one.rollback_message}")
    counted = outputs(journal, one.run).get("services", {})
    events = records.events(journal.home, one.id)
    for part in one.parts:
        known = counted.get(part.service, {})
        lines += [
            f"{part.service}  {part.after}  {part.url}",
            *_counted(known, split=part.compared and not one.rollback_of),
        ]
        lines += [f"  {line}" for line in verdict(events, part.service)]
    return "\n".join(lines) + "\n"


def verdict(events: Sequence[Event], service: str) -> list[str]:
    """The last verdict on a service with the numbers that decided, line by line; nothing where nothing was judged."""
    event = decided(events, service)
    found = judgement(event) if event else None
    return explain(found) if found else []


def decided(events: Sequence[Event], service: str) -> Event | None:
    """The last verdict on a service that compared two versions, None without one."""
    found = (
        event
        for event in reversed(events)
        if event.kind == "verdict" and event.service in ("", service) and event.data.get("decision")
    )
    return next((event for event in found if "judgement" in event.data), None)


def _counted(known: dict[str, Any], *, split: bool) -> list[str]:
    """Requests, failures, and the split of each step where there is any, from a run's outputs."""
    if not known:
        return []
    lost = f", {known['unanswered']:,} without an answer" if known["unanswered"] else ""
    lines = [f"  {known['requests']:,} requests, {known['failures']:,} failed{lost}"]
    splits = [
        f"{one['asked']:g} % asked, {one['actual']:.2f} % got ({one['requests']:,})"
        for one in known["splits"]
        if split and one["requests"] and one["actual"] is not None
    ]
    return lines + ([f"  split: {'; '.join(splits)}"] if splits else [])


def measured(one: Measured) -> str:
    """What a version did in a line: `1,234 requests, 0 failed, p50 12 ms, p95 20 ms, p99 31 ms`."""
    found = f"{one.requests:,} requests, {one.errors:,} failed"
    if one.p50 is not None and one.p95 is not None and one.p99 is not None:
        found += f", p50 {_time(one.p50)}, p95 {_time(one.p95)}, p99 {_time(one.p99)}"
    return found


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _part(part: records.Part) -> dict[str, Any]:
    return {
        "service": part.service,
        "before": part.before or None,
        "after": part.after,
        "source": part.source,
        "replicas": part.replicas,
        "url": part.url or None,
        "test_url": part.test_url or None,
    }


def event(one: Event) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "kind": one.kind,
        "at": iso(one.at),
        "service": one.service or None,
        "text": one.text,
        "data": one.data,
    }


def _undoing(home: Path, one: ServiceDeployment) -> ServiceDeployment | None:
    if not one.rolled_back_by or one.status == "Succeeded":
        return None
    return next((other for other in records.every(home) if other.id == one.rolled_back_by), None)


def _seconds(
    home: Path, one: ServiceDeployment, undoing: ServiceDeployment | None, service: str
) -> Iterator[Second]:
    """A service's seconds, and those of the rollback, in which the share is that of the version before."""
    last = 0
    for second in observed.read(records.timeline(home, one.id, service)):
        last = second.at
        yield second
    if undoing is not None:
        for second in observed.read(records.timeline(home, undoing.id, service)):
            if second.at > last:
                yield msgspec.structs.replace(second, share=100.0 - second.share)
