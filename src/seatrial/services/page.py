"""The page of a deployment: its picture, what each version did, what decided, and what happened."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from seatrial.clock import iso
from seatrial.reports import frame
from seatrial.services import drawing, shown
from seatrial.services.axes import moments, tick
from seatrial.services.headlines import headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.services.picture import Chart, Picture
    from seatrial.services.records import Event, ServiceDeployment

_STYLE = """\
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
.good { color: var(--pass); } .bad { color: var(--fail); } .wait { color: var(--skip); }
.wide { overflow-x: auto; margin: 1rem 0; } .wide svg { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: break-word; white-space: pre-wrap; }
th { color: var(--quiet); font-weight: 600; }
td:first-child { white-space: nowrap; }
"""
_VERDICTS = {"Succeeded": "good", "Failed": "bad", "Stopped": "wait"}
_SIGNS = {"Succeeded": "✓ ", "Failed": "✗ ", "Stopped": "■ "}
_STATES = {"pass": "✓ pass", "unclear": "? unclear", "fail": "✗ fail"}


def html(one: ServiceDeployment, picture: Picture, events: Sequence[Event]) -> str:
    """A page that stands alone, with everything that is known of a deployment."""
    parts = [f'<div class="wide">{drawing.svg(picture)}</div>']
    for chart in picture.charts:
        parts += [f"<h2>{escape(chart.service)}</h2>", _versions(chart)]
        if said := shown.decided(events, chart.service):
            parts += ["<h3>What decided</h3>", f"<p>{escape(headline(said))}</p>", _comparisons(said)]
    if events:
        rows = [
            (tick(max(0.0, event.at - one.created)), event.kind, event.service, event.text)
            for event in events
        ]
        parts += ["<h2>What happened</h2>", frame.table(("Time", "Kind", "Service", "Event"), rows)]
    return frame.page(
        f"Deployment {one.id}",
        verdict=_VERDICTS.get(one.status, "wait"),
        said=_SIGNS.get(one.status, "") + one.status,
        summary=_summary(one),
        style=_STYLE,
        body="\n".join(parts),
    )


def _summary(one: ServiceDeployment) -> str:
    took = f" · {moments(one.ended - one.created)}" if one.ended else ""
    lines = [f"{one.label} · {one.strategy} · {iso(one.created)[:19].replace('T', ' ')} UTC{took}", one.why]
    if one.rollback_of:
        lines.append(f"rolls back {one.rollback_of}")
    if one.rolled_back_by:
        lines.append(f"rolled back by {one.rolled_back_by}")
    return "<br>".join(escape(words) for words in lines if words)


def _versions(chart: Chart) -> str:
    names = {
        "old": f"old {chart.old}",
        "new": f"new {chart.new}",
        "other": "other versions",
        "none": "no instance answered",
    }
    rows = [
        (names[version], f"{one.requests:,}", f"{one.errors:,}", *(_milliseconds(t) for t in (one.p50, one.p95, one.p99)))
        for version, one in chart.totals.items()
    ]  # fmt: skip
    if not rows:
        return "<p>No requests.</p>"
    return frame.table(("Version", "Requests", "Failed", "p50", "p95", "p99"), rows)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.3g} ms"


def _comparisons(event: Event) -> str:
    rows = [
        (_STATES.get(one["state"], one["state"]), one["metric"], one["why"], one["test"])
        for one in event.data["judgement"]["comparisons"]
    ]
    return frame.table(("State", "Metric", "What was found", "Test"), rows) if rows else ""
