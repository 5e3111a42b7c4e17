"""Reports as a page: what failed first, then the rest, then how the group did over earlier builds."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from seatrial.builds import page as pages
from seatrial.builds.test_reports.model import percent
from seatrial.builds.test_reports.render import failed, headline
from seatrial.reports import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.builds.test_reports.model import Case, Report
    from seatrial.builds.test_reports.trends import Point

_MARKS = {"SUCCEEDED": "✓", "FAILED": "✗", "ERROR": "✗", "SKIPPED": "»", "UNKNOWN": "?"}
_MOST_FILES = 2000


def page(reports: Sequence[Report], points: Sequence[Point] = (), *, summary: str = "") -> str:
    """One page that stands alone. `points` are the reports of earlier builds, `summary` a line below the title."""
    bad = [one for one in reports if one.status != "SUCCEEDED"]
    body = "".join(_report(one, [point for point in points if point.report == one.name]) for one in reports)
    said = (
        "SUCCEEDED" if not bad else "FAILED" if any(one.status == "FAILED" for one in bad) else bad[0].status
    )
    return pages.page("Reports", said=said, good=not bad, summary=summary, body=body)


def _report(report: Report, points: Sequence[Point]) -> str:
    status = escape(report.status)
    parts = [f'<section><h2>{escape(report.name)} <span class="mark {status}">{status}</span></h2>']
    parts.append(f"<p>{escape(headline(report).partition(': ')[2])}</p>")
    for problem in report.problems:
        fix = f"<br><strong>Fix:</strong> {escape(problem.fix)}" if problem.fix else ""
        parts.append(f'<div class="problem">{escape(str(problem))}{fix}</div>')
    parts += [f'<p class="note">{escape(note)}</p>' for note in report.notes]
    bad = failed(report.cases)
    parts += [_cases([*bad, *report.beyond], opened=True)]
    rest = [case for case in report.cases if case.status not in ("FAILED", "ERROR")]
    if rest:
        parts.append(f"<details><summary>{len(rest)} others</summary>{_cases(rest, opened=False)}</details>")
    parts += [_coverage(report)] if report.coverage else []
    parts += [_trend(points)] if points else []
    return "".join([*parts, "</section>"])


def _cases(cases: Sequence[Case], *, opened: bool) -> str:
    if not cases:
        return ""
    items = "".join(_case(case, opened=opened) for case in cases)
    return f'<ul class="cases">{items}</ul>'


def _case(case: Case, *, opened: bool) -> str:
    status = escape(case.status)
    took = "" if case.duration is None else f"{case.duration:.3f} s"
    suite = f"{escape(case.suite)}: " if case.suite else ""
    head = (
        f'<div class="head"><span class="mark {status}">{_MARKS.get(case.status, "")} {status}</span>'
        f'<code>{suite}{escape(case.name)}</code><span class="when">{took}</span></div>'
    )
    told = f"<pre>{escape(case.message)}</pre>" if case.message else ""
    if told and not opened:
        told = f"<details><summary>message</summary>{told}</details>"
    return f'<li class="{status}">{head}{told}</li>'


def _coverage(report: Report) -> str:
    """Files with most lines missing first."""
    ordered = sorted(report.coverage, key=lambda one: (one.lines_covered - one.lines, one.path))
    rows = []
    for one in ordered[:_MOST_FILES]:
        share = percent(one.lines_covered, one.lines)
        shown = "" if share is None else f"{share:.2f} %"
        branches = f"{one.branches_covered}/{one.branches}" if one.branches else ""
        rows.append(
            f'<tr><td>{escape(one.path)}</td><td><span class="bar"><i style="width:{share or 0:.0f}%"></i></span> {shown}</td>'
            f"<td>{one.lines_covered}/{one.lines}</td><td>{branches}</td></tr>"
        )
    left = len(ordered) - len(rows)
    more = f'<p class="note">{left} more files</p>' if left else ""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("File", "Lines covered", "Lines", "Branches"))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{more}'


def _trend(points: Sequence[Point]) -> str:
    rows = [
        (
            point.run,
            point.status,
            "" if point.rate is None else f"{point.rate:.2f} %",
            str(point.total),
            "" if point.duration is None else f"{point.duration:.2f} s",
        )
        for point in points
    ]
    return "<h3>Earlier builds</h3>" + frame.table(("Run", "Status", "Rate", "Of", "Took"), rows)
