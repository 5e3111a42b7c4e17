"""The timeline of a build as a picture (SVG) and as a page (HTML): no fonts, scripts or pictures from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from seatrial.builds import page, timeline
from seatrial.reports import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.builds.timeline import Phase, Timeline

_WIDTH, _LEFT, _RIGHT = 960, 270, 90
_ROW, _TOP = 30, 64
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)
_STYLE = """
.tl{--ground:#fff;--text:#1c2024;--quiet:#5d6673;--line:#d9dee5;--pass:#1f7a3d;--fail:#b3261e;--run:#1d5fbf;--stop:#7a6200;--thin:#7ea98c}
@media (prefers-color-scheme:dark){.tl{--ground:#1d2126;--text:#e6e9ee;--quiet:#9aa4b2;--line:#343b45;--pass:#4fae6e;--fail:#ff8a80;--run:#6ba3ff;--stop:#e0c65a;--thin:#2f5d40}}
.tl text{font:13px system-ui,sans-serif;fill:var(--text)} .tl .q{fill:var(--quiet);font-size:12px} .tl .h{font-size:16px;font-weight:700}
.tl .bg{fill:var(--ground)} .tl .l{stroke:var(--line);stroke-width:1} .tl .SUCCEEDED{fill:var(--pass)} .tl .IN_PROGRESS{fill:var(--run)}
.tl .FAILED,.tl .FAULT,.tl .TIMED_OUT{fill:var(--fail)} .tl .STOPPED{fill:var(--stop)} .tl .c{fill:var(--ground);opacity:.35}
.tl .expect{fill:none;stroke:var(--quiet);stroke-dasharray:3 3} .tl .s{font-weight:700}
"""
_MARKS = {"SUCCEEDED": "✓", "FAILED": "✗", "FAULT": "✗", "TIMED_OUT": "✗", "STOPPED": "■", "IN_PROGRESS": "▶"}


def svg(found: Timeline) -> str:
    """The picture; readable on light and dark ground, and by screen readers."""
    rows = [one for one in found.phases if one.name != "COMPLETED"]
    remarks = timeline.remarks(found)
    places, height = _places(rows)
    below = height + 28
    total = max(found.duration, *(_until(one) for one in rows), 0.001)
    scale = (_WIDTH - _LEFT - _RIGHT) / total
    parts = [_text(16, 26, f"{found.name}: {found.status}", "h"), _text(16, 46, _subtitle(found), "q")]
    parts += _axis(total, scale, height)
    for one, y in zip(rows, places, strict=True):
        parts += _row(one, timeline.said(found, one), y, scale)
    parts += [_text(16, below + 18 * number, line[:130], "q") for number, line in enumerate(remarks)]
    full = below + 18 * len(remarks) + 4
    title = f"Timeline of build {found.name}: {found.status} after {timeline.took(found.duration)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tl" viewBox="0 0 {_WIDTH} {full}" width="{_WIDTH}" '
        f'height="{full}" role="img" aria-label="{_escape(title)}"><title>{_escape(title)}</title>'
        f'<style>{_STYLE}</style><rect class="bg" width="{_WIDTH}" height="{full}" rx="8"/>{"".join(parts)}</svg>\n'
    )


def html(found: Timeline) -> str:
    """A page with the picture, and all phases and commands as tables."""
    phases = frame.table(
        ("Phase", "Status", "Start", "Took", "Context"),
        [
            (one.name, timeline.said(found, one), _when(one.offset), timeline.took(one.duration), one.context)
            for one in found.phases
        ],
    )  # fmt: skip
    commands = frame.table(
        ("Phase", "Command", "Start", "Took"),
        [
            (phase.name, one.command, _when(one.offset), timeline.took(one.duration))
            for phase in found.phases
            for one in phase.commands
        ],
    )
    body = f'<div class="wide">{svg(found)}</div><h2>Phases</h2>{phases}'
    if any(one.commands for one in found.phases):
        body += f"<h2>Commands</h2>{commands}"
    return page.page(
        f"Build {found.name}",
        said=found.status,
        good=found.status == "SUCCEEDED",
        summary=_subtitle(found),
        body=body,
    )


def _places(rows: Sequence[Phase]) -> tuple[list[int], int]:
    """The middle of each row, and where the axis ends; a context takes a line of its own."""
    places, y = [], _TOP
    for one in rows:
        places.append(y)
        y += _ROW + (18 if one.context else 0)
    return places, y


def _until(phase: Phase) -> float:
    """When a phase ends, or is expected to, in seconds from the start."""
    return (phase.offset or 0.0) + max(phase.duration or 0.0, phase.expected or 0.0)


def _subtitle(found: Timeline) -> str:
    start = f"{found.started[:19].replace('T', ' ')} UTC, " if found.started else ""
    left = f", still about {timeline.took(found.eta.remaining)}" if found.eta else ""
    return f"{start}{timeline.took(found.duration)}{left}, run {found.id}"


def _axis(total: float, scale: float, height: int) -> list[str]:
    step = next((one for one in _STEPS if total / one <= 8), total / 6)  # noqa: PLR2004 - ticks that fit
    parts, number = [], 0
    while number * step <= total + 1e-9:
        x = _LEFT + number * step * scale
        parts.append(f'<line class="l" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 12}" y2="{height - 4}"/>')
        parts.append(_text(x, height + 10, _tick(number * step), "q", anchor="middle"))
        number += 1
    return parts


def _tick(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:g} s"
    whole = round(seconds)
    return f"{whole // 60} min" if whole % 60 == 0 else f"{whole // 60}m{whole % 60:02d}s"


def _row(phase: Phase, status: str, y: int, scale: float) -> list[str]:
    known = phase.status if phase.status in _MARKS else ""
    parts = [_text(16, y + 5, phase.name, ""), _text(_LEFT - 12, y + 5, f"{_MARKS.get(status, '')} {status}".strip(), f"q s {known}".strip(), anchor="end")]  # fmt: skip
    if phase.offset is not None and phase.duration is not None:
        x, width = _LEFT + phase.offset * scale, max(2.0, phase.duration * scale)
        parts.append(
            f'<rect class="{known}" x="{x:.1f}" y="{y - 8}" width="{width:.1f}" height="16" rx="2">'
            f"<title>{_escape(f'{phase.name} {status} {timeline.took(phase.duration)}')}</title></rect>"
        )
        # Where one command ends and the next begins.
        parts += [
            f'<rect class="c" x="{_LEFT + one.offset * scale:.1f}" y="{y - 8}" width="1" height="16"/>'
            for one in phase.commands
            if (one.duration or 0.0) * scale > 4  # noqa: PLR2004 - pixels
        ]
        parts.append(_text(x + width + 6, y + 5, timeline.took(phase.duration), "q"))
    if phase.expected is not None and phase.offset is not None and phase.expected > (phase.duration or 0):
        x = _LEFT + phase.offset * scale
        parts.append(
            f'<rect class="expect" x="{x:.1f}" y="{y - 8}" width="{phase.expected * scale:.1f}" height="16" rx="2"/>'
        )
    if phase.context:
        parts.append(_text(_LEFT, y + 23, timeline.first_line(phase.context, 96), f"q {known}"))
    return parts


def _text(x: float, y: float, words: str, kind: str, anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{where}>{_escape(words)}</text>'


def _when(offset: float | None) -> str:
    return "" if offset is None else f"+{timeline.took(offset)}"


def _escape(words: str) -> str:
    """For XML as well: characters that it cannot hold become a space."""
    return escape("".join(c if c.isprintable() else " " for c in words))
