"""The phases of a build over time: as data, as a table, and how long a build that runs will still take.

`run` is a build as `report.build` returns it and `build run --json` prints it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import timeline_log
from seatrial.builds.timeline_log import Replaced  # noqa: TC001 - msgspec reads the annotation
from seatrial.reports.units import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SLOWEST = 3
_WIDTH = 30


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command of a phase. `fetched` is in bytes, `throughput` in bytes for each second of the whole command."""

    command: str
    offset: float
    duration: float | None
    fetched: int = 0
    throughput: int = 0
    replaced: tuple[Replaced, ...] = ()


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase. `status` is CodeBuild's, empty for one that did not run; `offset` and `duration` are seconds.

    `size` and `throughput` are bytes, and bytes a second, of what the phase's steps made, where they told it.
    `expected` is its usual duration, known from earlier builds, where it has not ended yet.
    """

    name: str
    status: str
    started: str | None
    offset: float | None
    duration: float | None
    context: str = ""
    commands: tuple[Command, ...] = ()
    size: int = 0
    throughput: int = 0
    expected: float | None = None


class Eta(msgspec.Struct, frozen=True, kw_only=True):
    """How long a build will still take: `remaining` seconds, as the median of `runs` earlier builds has it."""

    remaining: float
    runs: int


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A build's phases; `duration` is that of what has been seen so far."""

    id: str
    name: str
    status: str
    started: str | None
    duration: float
    phases: tuple[Phase, ...]
    eta: Eta | None = None


def data(
    run: Mapping[str, Any], *, earlier: Sequence[Mapping[str, Any]] = (), now: float | None = None
) -> Timeline:
    """The timeline of a build. `earlier` are ended builds of its project; `now` is the time for one that runs.

    The logs that the run names are read for the commands; those that are gone tell nothing.
    """
    begin = _seconds(run["started"]) if run["started"] else now or 0.0
    running = run["ended"] is None and not run.get("interrupted")
    usual = _usual(earlier) if running else {}
    phases = tuple(_phase(stage, begin, now if running else None, usual) for stage in run["stages"])
    ends = [
        one.offset + one.duration for one in phases if one.offset is not None and one.duration is not None
    ]
    return Timeline(
        id=run["id"],
        name=run["name"],
        status=run["build_status"],
        started=run["started"],
        duration=round(max(ends, default=0.0), 3),
        phases=phases,
        eta=_eta(phases, len(earlier)) if usual else None,
    )


def _phase(stage: Mapping[str, Any], begin: float, now: float | None, usual: Mapping[str, float]) -> Phase:
    started = _seconds(stage["started"]) if stage["started"] else None
    duration = stage["duration"]
    if duration is None and started is not None and stage["ended"] is None and now is not None:
        duration = round(max(0.0, now - started), 3)
    context = "; ".join(
        f"{one['statusCode']}: {one['message']}".strip() for one in stage["contexts"] if one["statusCode"]
    )
    made = _made(stage)
    return Phase(
        name=stage["name"],
        status=stage["phase_status"] or "",
        started=stage["started"] if started is not None else None,
        offset=None if started is None else round(max(0.0, started - begin), 3),
        duration=duration if started is not None else None,
        context=context,
        commands=_commands(stage, begin),
        size=made,
        throughput=int(made / duration) if made and duration else 0,
        expected=usual.get(stage["name"]) if stage["ended"] is None else None,
    )


def _made(stage: Mapping[str, Any]) -> int:
    """Bytes that the phase's steps say they made, moved or pushed."""
    found = 0
    for step in stage["steps"]:
        told = step.get("outputs") or {}
        found += sum(
            int(told[key])
            for key in ("size", "bytes", "pushed_bytes")
            if isinstance(told.get(key), int | float)
        )
    return found


def _commands(stage: Mapping[str, Any], begin: float) -> tuple[Command, ...]:
    logs = [attempt["log"] for step in stage["steps"] for attempt in step["attempts"] if attempt["log"]]
    return tuple(
        Command(
            command=ran.command,
            offset=round(max(0.0, ran.started - begin), 3),
            duration=ran.seconds,
            fetched=ran.fetched,
            throughput=int(ran.fetched / ran.seconds) if ran.fetched and ran.seconds else 0,
            replaced=ran.replaced,
        )
        for log in logs
        for ran in timeline_log.commands(Path(log))
    )


def _usual(earlier: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each phase's median duration, over the builds in which it succeeded."""
    seen: dict[str, list[float]] = {}
    for run in earlier:
        for stage in run["stages"]:
            if stage["phase_status"] == "SUCCEEDED" and stage["duration"] is not None:
                seen.setdefault(stage["name"], []).append(stage["duration"])
    return {name: median(durations) for name, durations in seen.items()}


def _eta(phases: Sequence[Phase], runs: int) -> Eta:
    left = 0.0
    for one in phases:
        if one.expected is not None:
            left += max(0.0, one.expected - (one.duration or 0.0))
    return Eta(remaining=round(left, 1), runs=runs)


def slowest(found: Timeline, most: int = _SLOWEST) -> list[tuple[Phase, Command]]:
    """The commands that took longest, with their phases."""
    all_of_them = [(phase, one) for phase in found.phases for one in phase.commands if one.duration]
    return sorted(all_of_them, key=lambda pair: -(pair[1].duration or 0.0))[:most]


def replaced(found: Timeline) -> list[Replaced]:
    """Packages that were there in another version before; of one that changed twice, each change."""
    return [one for phase in found.phases for command in phase.commands for one in command.replaced]


def remarks(found: Timeline) -> list[str]:
    """What stands out, a line each: slow commands, what was fetched, packages replaced, what is still to come."""
    lines = [
        f"slow: {took(command.duration)} in {phase.name}: {first_line(command.command)}"
        for phase, command in slowest(found)
        if (command.duration or 0) >= max(1.0, found.duration / 20)
    ]
    for phase in found.phases:
        if phase.size:
            lines.append(f"{phase.name} made {size(phase.size)}, {size(phase.throughput)}/s")
        for one in phase.commands:
            if one.fetched:
                speed = f", {size(one.throughput)}/s with all that it did" if one.throughput else ""
                lines.append(f"fetched {size(one.fetched)}{speed}: {first_line(one.command)}")
    changes = replaced(found)
    if changes:
        told = ", ".join(f"{one.name} {one.version} -> {one.to or 'gone'}" for one in changes[:12])
        more = f" and {len(changes) - 12} more" if len(changes) > 12 else ""  # noqa: PLR2004 - as above
        lines.append(f"replaced packages: {told}{more}")
    if found.eta is not None:
        lines.append(
            f"still about {took(found.eta.remaining)}, as the median of {found.eta.runs} earlier builds has it"
        )
    return lines


def text(found: Timeline) -> str:
    """A table with bars for a terminal of 100 columns, and what stands out; no colour carries meaning."""
    lines = [f"{'phase':17} {'status':11} {'start':>8} {'took':>8}"]
    total = found.duration or 1.0
    for one in found.phases:
        start = "" if one.offset is None else took(one.offset)
        lasted = "" if one.duration is None else took(one.duration)
        shown = said(found, one)
        lines.append(f"{one.name:17} {shown:11} {start:>8} {lasted:>8}  {_bar(one, total)}".rstrip())
        if one.context:
            lines.append(f"    {first_line(one.context, 110)}")
    return "\n".join([*lines, *remarks(found)]) + "\n"


def said(found: Timeline, phase: Phase) -> str:
    """The status of a phase in words; COMPLETED has none."""
    if phase.status or phase.offset is not None:
        return phase.status
    return "to come" if found.status == "IN_PROGRESS" else "not run"


def svg(run: Mapping[str, Any]) -> str:
    """The timeline of a build as a picture that stands alone."""
    from seatrial.builds import timeline_picture

    return timeline_picture.svg(data(run))


def _bar(phase: Phase, total: float) -> str:
    if phase.offset is None or phase.duration is None:
        return ""
    first = min(_WIDTH - 1, int(phase.offset / total * _WIDTH))
    last = max(first + 1, round((phase.offset + phase.duration) / total * _WIDTH))
    return " " * first + "━" * (last - first)


def first_line(command: str, most: int = 80) -> str:
    """The beginning of a command or message, on one line, without what could steer a terminal."""
    lines = command.strip().splitlines() or [""]
    line = "".join(c if c.isprintable() else " " for c in lines[0])
    return f"{line[:most]} …" if len(line) > most or len(lines) > 1 else line


def took(seconds: float | None) -> str:
    """`0.31 s`, `14.2 s`, `15m02s`, `2h05m`."""
    if seconds is None:
        return ""
    if seconds < 10:  # noqa: PLR2004 - three digits
        return f"{seconds:.2f} s"
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
