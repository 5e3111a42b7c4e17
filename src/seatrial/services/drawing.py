"""The picture of a deployment as SVG: no fonts, scripts or pictures from elsewhere; nothing is said by colour alone.

The new version is hatched and its lines are solid, the old one's are dashed; each line is named where it ends.
"""

from __future__ import annotations

import hashlib
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from seatrial.services.axes import clip, marks_of, moments, nice, places, spread, tick
from seatrial.services.model import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seatrial.services.picture import Chart, Measured, Picture, Point, Version

_WIDTH, _LEFT, _RIGHT = 900, 58, 118
_PLOT = _WIDTH - _LEFT - _RIGHT
_TRAFFIC, _ERRORS, _LATENCY, _GAP = 116, 56, 104, 26
_LINE = 17
_STYLE = """
.dp{--ground:#fff;--text:#1c2024;--quiet:#5d6673;--line:#d9dee5;--new:#1a7f64;--old:#6e7781;--oldfill:#c9d0d9;--newfill:#a9d8c9;--other:#c9a84a;--fail:#b3261e;--good:#146c2e;--wait:#7a6200;--bar:#eef1f5}
@media (prefers-color-scheme:dark){.dp{--ground:#1d2126;--text:#e6e9ee;--quiet:#9aa4b2;--line:#343b45;--new:#3fb98f;--old:#a3adba;--oldfill:#414a56;--newfill:#1f5c49;--other:#8a7430;--fail:#ff9d94;--good:#7fd699;--wait:#e0c65a;--bar:#272d35}}
.dp text{font:12px system-ui,sans-serif;fill:var(--text)} .dp .h{font-size:16px;font-weight:700} .dp .b{font-weight:600} .dp .q{fill:var(--quiet)} .dp .s{font-size:11px}
.dp .bg{fill:var(--ground)} .dp .g{stroke:var(--line);stroke-width:1} .dp .e{stroke:var(--quiet);stroke-width:1;stroke-dasharray:1 3} .dp .bar{fill:var(--bar);stroke:var(--line)}
.dp .old{fill:var(--oldfill)} .dp .new{fill:var(--newfill)} .dp .other{fill:var(--other)} .dp .none{fill:var(--fail)} .dp .hatch{stroke:var(--new);stroke-width:1;opacity:.55}
.dp .asked{fill:none;stroke:var(--text);stroke-width:1.4;stroke-dasharray:5 3} .dp path.lo{fill:none;stroke:var(--old);stroke-dasharray:4 3} .dp path.ln{fill:none;stroke:var(--new)}
.dp .p50{stroke-width:2.4} .dp .er{stroke-width:1.8} .dp .p95{stroke-width:1.2} .dp text.to{fill:var(--old)} .dp text.tn{fill:var(--new)} .dp .badge{fill:var(--ground);stroke:var(--quiet)}
.dp .good,.dp .Succeeded{fill:var(--good)} .dp .bad,.dp .Failed{fill:var(--fail)} .dp .wait,.dp .Stopped{fill:var(--wait)}
"""
_MOST_MARKS = 40


class _Scale(NamedTuple):
    """From seconds to pixels."""

    total: float

    def x(self, at: float) -> float:
        return _LEFT + _PLOT * min(max(at, 0.0), self.total) / self.total


def svg(picture: Picture) -> str:
    """The picture; readable on light and dark ground, and by screen readers."""
    scale = _Scale(max(picture.seconds, 1.0))
    marks = picture.marks[:_MOST_MARKS]
    badges = marks_of([scale.x(one.at) for one in marks])
    y, parts = _head(picture)
    if picture.phases:
        parts += _phases(picture, scale, y)
        y += 32
    top = y
    if marks:
        y += 24
    under: list[str] = []
    for one in picture.charts:
        y, drawn = _chart(one, picture, scale, y)
        under += drawn
    if not picture.charts:
        y += 10
    parts += _badges(badges, top, y - _GAP)
    parts += under
    listed, y = _listed(picture, y)
    parts += listed
    title = _escaped(f"{picture.title}: {picture.status}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dp" viewBox="0 0 {_WIDTH} {y:.0f}" width="{_WIDTH}" '
        f'height="{y:.0f}" role="img" aria-labelledby="{_name(picture)}-t {_name(picture)}-d">'
        f'<title id="{_name(picture)}-t">{title}</title><desc id="{_name(picture)}-d">{_escaped(describe(picture))}</desc>'
        f"<style>{_STYLE}</style>{_hatch(picture)}"
        f'<rect class="bg" width="{_WIDTH}" height="{y:.0f}" rx="8"/>{"".join(parts)}</svg>\n'
    )


def describe(picture: Picture) -> str:
    """The picture in words, for who cannot see it."""
    said = [f"{picture.title}, {picture.status} after {moments(picture.seconds)}."]
    for one in picture.charts:
        for version, measured in one.totals.items():
            name = {"old": f"old version {one.old}", "new": f"new version {one.new}"}.get(
                version, "no instance" if version == "none" else "other versions"
            )
            said.append(f"{one.service}, {name}: {_measured(measured)}.")
        if not one.points:
            said.append(f"{one.service}: no requests.")
    said += [f"{moments(one.at)}: {_about(one.service)}{one.text}." for one in picture.marks]
    return " ".join(said)


def _measured(one: Measured) -> str:
    found = f"{one.requests:,} requests, {one.errors:,} failed"
    if one.p50 is not None and one.p95 is not None:
        found += f", p50 {_time(one.p50)}, p95 {_time(one.p95)}"
    return found


def _head(picture: Picture) -> tuple[float, list[str]]:
    parts = [_text(16, 27, picture.title, "h")]
    when = moments(picture.seconds)
    said = f"{picture.status}, so far {when}" if picture.running else f"{picture.status} after {when}"
    parts.append(_text(16, 46, said, f"b {_escaped(picture.status)}"))
    if not picture.charts:
        parts.append(_text(16, 66, "No service is in this deployment.", "q"))
    return 62, parts


def _phases(picture: Picture, scale: _Scale, y: float) -> list[str]:
    parts = []
    for one in picture.phases:
        x, until = scale.x(one.at), scale.x(one.until)
        width = max(1.5, until - x)
        sign = {"fail": "✗ ", "stopped": "■ ", "running": "▶ "}.get(one.status, "")
        words = clip(sign + one.name, width - 8, 6.1)
        parts.append(
            f"<g><title>{_escaped(f'{one.name}: {one.status}, {moments(one.until - one.at)}')}</title>"
            f'<rect class="bar" x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" rx="3"/>'
            + (_text(x + 4, y + 14, words, "s") if words else "")
            + "</g>"
        )
    return parts


def _badges(badges: Sequence[tuple[float, str]], top: float, bottom: float) -> list[str]:
    parts = []
    for x, words in badges:
        width = max(18.0, 7.0 * len(words) + 8)
        parts.append(f'<line class="e" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 18}" y2="{bottom:.1f}"/>')
        parts.append(
            f'<rect class="badge" x="{x - width / 2:.1f}" y="{top}" width="{width:.1f}" height="18" rx="9"/>'
        )
        parts.append(_text(x, top + 13, words, "s b", anchor="middle"))
    return parts


def _chart(one: Chart, picture: Picture, scale: _Scale, y: float) -> tuple[float, list[str]]:
    """The three panels of a service, and where the next thing may begin."""
    versions = f"{one.old} → {one.new}" if one.old else f"{one.new}, the first version"
    parts = [_text(_LEFT, y + 14, f"{one.service}  {versions}", "b")]
    y += 38
    if not one.points:
        parts.append(f'<rect class="bar" x="{_LEFT}" y="{y}" width="{_PLOT}" height="48" rx="3"/>')
        parts.append(_text(_LEFT + _PLOT / 2, y + 29, "no requests", "q", anchor="middle"))
        y += 48
        return y + 18 + _GAP, parts + _times(scale, y)
    parts += _traffic(one, picture, scale, y)
    y += _TRAFFIC + _GAP
    parts += _errors(one, picture, scale, y)
    y += _ERRORS + _GAP
    parts += _latency(one, picture, scale, y)
    y += _LATENCY
    return y + 18 + _GAP, parts + _times(scale, y)


def _traffic(one: Chart, picture: Picture, scale: _Scale, y: float) -> list[str]:
    """Whose requests were answered by whom, stacked, from the new version at the bottom; and what was asked for."""
    whole = sum(point.requests for point in one.points)
    most = max(point.requests for point in one.points) / picture.stretch
    words = f"share of {whole:,} requests, at most {most:,.0f} per second"
    parts = [_panel(words, y, _TRAFFIC, ((0, "0 %"), (0.5, "50 %"), (1, "100 %")))]
    order: tuple[Version, ...] = ("new", "old", "other", "none")
    floor = dict.fromkeys(range(len(one.points)), 0.0)
    for version in order:
        area = []
        for number, point in enumerate(one.points):
            count = point.versions[version].requests if version in point.versions else 0
            if not count:
                continue
            share = count / point.requests
            x, until = _span(point, picture, scale)
            high = y + _TRAFFIC * (1 - floor[number] - share)
            area.append(f"M{x:.1f} {high:.1f}H{until:.1f}v{share * _TRAFFIC:.1f}H{x:.1f}z")
            floor[number] += share
        if area:
            parts.append(f'<path class="{version}" d="{"".join(area)}"/>')
            if version == "new":
                parts.append(f'<path fill="url(#{_name(picture)}-h)" d="{"".join(area)}"/>')
    spans = [(*_span(p, picture, scale), y + _TRAFFIC * (1 - p.asked / 100)) for p in one.points]
    parts.append(f'<path class="asked" d="{_steps(spans)}"/>')
    last = one.points[-1]
    labels: list[tuple[float, str, str]] = []
    if last.share:
        labels.append((y + _TRAFFIC * (1 - last.share / 200), f"new {last.share:.1f} %", "tn b"))
    if last.share is not None and last.share < ALL and one.old:
        labels.append((y + _TRAFFIC * (1 - last.share / 100) / 2, f"old {100 - last.share:.1f} %", "to b"))
    labels.append((y + _TRAFFIC * (1 - last.asked / 100), f"asked {last.asked:g} %", "q"))
    return parts + _ends(labels, y, y + _TRAFFIC)


def _errors(one: Chart, picture: Picture, scale: _Scale, y: float) -> list[str]:
    def percent(found: Measured) -> float:
        return 100 * found.errors / found.requests

    known = [(name, m) for p in one.points for name, m in p.versions.items()]
    top = nice(max([1.0, *(percent(m) for name, m in known if name in ("old", "new"))]))
    parts = [_panel("failed", y, _ERRORS, ((0, "0 %"), (1, f"{top:g} %")))]
    labels = []
    for version, line, words in _lines(one):
        level, drawn = _curve(one, version, picture, scale, lambda m: y + _ERRORS * (1 - percent(m) / top))
        parts.append(f'<path class="{line} er" d="{drawn}"/>')
        measured = one.totals[version]
        labels.append((level, f"{words} {percent(measured):.3g} %", f"t{line[1]}"))
    if lost := one.totals.get("none"):
        labels.append((y + _ERRORS, f"{lost.requests:,} unanswered", "bad b"))
    return parts + _ends(labels, y, y + _ERRORS)


def _latency(one: Chart, picture: Picture, scale: _Scale, y: float) -> list[str]:
    most = max(
        (
            point.versions[v].p95 or 0
            for point in one.points
            for v, _, _ in _lines(one)
            if v in point.versions
        ),
        default=0.0,
    )
    top = nice(max(most, 0.001))
    parts = [_panel("latency", y, _LATENCY, ((0, "0"), (0.5, _time(top / 2)), (1, _time(top))))]
    labels = []
    for version, line, words in _lines(one):
        measured = one.totals[version]
        for name, whole in (("p50", measured.p50), ("p95", measured.p95)):
            level, drawn = _curve(
                one,
                version,
                picture,
                scale,
                lambda m, name=name: y + _LATENCY * (1 - (getattr(m, name) or 0.0) / top),  # type: ignore[misc]
            )
            parts.append(f'<path class="{line} {name}" d="{drawn}"/>')
            labels.append((level, f"{words} {name} {_time(whole or 0.0)}", f"t{line[1]}"))
    return parts + _ends(labels, y, y + _LATENCY)


def _lines(one: Chart) -> Iterable[tuple[Version, str, str]]:
    found: tuple[tuple[Version, str, str], ...] = (("old", "lo", "old"), ("new", "ln", "new"))
    return [line for line in found if line[0] in one.totals]


def _curve(
    one: Chart, version: Version, picture: Picture, scale: _Scale, height: Callable[[Measured], float]
) -> tuple[float, str]:
    """Where a version's line ends, and the line: flat over each stretch, interrupted where there was no traffic."""
    spans = [
        (*_span(point, picture, scale), height(point.versions[version]))
        for point in one.points
        if version in point.versions
    ]
    return spans[-1][2], _steps(spans)


def _steps(spans: Sequence[tuple[float, float, float]]) -> str:
    """A line that is flat from the first to the second place of each span, at its level; interrupted between spans."""
    parts, before = [], -1.0
    for x, until, level in spans:
        joined = abs(x - before) < 0.6  # noqa: PLR2004 - pixels
        parts.append(f"{'V' if joined else f'M{x:.1f} '}{level:.1f}H{until:.1f}")
        before = until
    return "".join(parts)


def _span(point: Point, picture: Picture, scale: _Scale) -> tuple[float, float]:
    return scale.x(point.at), scale.x(point.at + picture.stretch)


def _panel(name: str, y: float, height: float, levels: Sequence[tuple[float, str]]) -> str:
    parts = [_text(_LEFT, y - 5, name, "q s")]
    for level, words in levels:
        at = y + height * (1 - level)
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 6, at + 4, words, "q s", anchor="end"))
    return "".join(parts)


def _ends(labels: Sequence[tuple[float, str, str]], top: float, bottom: float) -> list[str]:
    """Names beside the ends of lines, moved apart."""
    ordered = sorted(labels, key=lambda one: one[0])
    moved = spread([y for y, _, _ in ordered], 13, top + 2, bottom)
    return [
        _text(_LEFT + _PLOT + 6, y + 4, words, f"s {kind}")
        for y, (_, words, kind) in zip(moved, ordered, strict=True)
    ]


def _times(scale: _Scale, y: float) -> list[str]:
    return [
        f'<line class="g" x1="{scale.x(at):.1f}" x2="{scale.x(at):.1f}" y1="{y}" y2="{y + 4}"/>'
        + _text(scale.x(at), y + 16, tick(at), "q s", anchor="middle")
        for at in places(scale.total)
    ]


def _listed(picture: Picture, y: float) -> tuple[list[str], float]:
    parts = []
    shown = picture.marks[:_MOST_MARKS]
    for number, one in enumerate(shown, 1):
        parts.append(_text(38, y, str(number), "s b", anchor="end"))
        parts.append(_text(_LEFT + 38, y, tick(one.at), "q s", anchor="end"))
        words = clip(f"{_about(one.service)}{one.text}", _WIDTH - _LEFT - 64, 6.0)
        parts.append(_text(_LEFT + 48, y, words, f"s {one.tone}"))
        y += _LINE
    if len(picture.marks) > len(shown):
        parts.append(_text(_LEFT + 48, y, f"and {len(picture.marks) - len(shown)} more", "q s"))
        y += _LINE
    return parts, y + 2


def _about(service: str) -> str:
    return f"{service}: " if service else ""


def _hatch(picture: Picture) -> str:
    return (
        f'<defs><pattern id="{_name(picture)}-h" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line class="hatch" x1="0" x2="0" y1="0" y2="6"/></pattern></defs>'
    )


def _name(picture: Picture) -> str:
    """What ids in this picture begin with, so that several pictures can stand on one page."""
    return "d" + hashlib.sha256(f"{picture.title} {picture.began}".encode()).hexdigest()[:8]


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def _text(x: float, y: float, words: str, kind: str, anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{where}>{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    """For XML, which cannot hold every character."""
    return escape("".join(c if c.isprintable() else " " for c in words))
