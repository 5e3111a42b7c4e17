"""A report for a terminal, and as JSON with names that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds.test_reports.model import Report, covered, pass_rate, percent
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.builds.test_reports.model import Case

_SHOWN = 20
"""Cases that did not succeed, or files with the least coverage, that the text names."""
_LINES = 6


def data(report: Report) -> dict[str, Any]:
    """The report as JSON: its own fields, `totals` for programs and `summary`, a line for people. Read back by `from_data`."""
    held: dict[str, Any] = msgspec.to_builtins(report)
    sums = covered(report.coverage)
    held["summary"] = headline(report).partition(": ")[2]
    held["totals"] = (
        {"total": report.total, "pass_rate": pass_rate(report.counts), "duration": report.duration}
        if report.type == "TEST"
        else {
            **sums._asdict(),
            "line_percent": percent(sums.lines_covered, sums.lines),
            "branch_percent": percent(sums.branches_covered, sums.branches),
        }
    )
    return held


def from_data(held: Mapping[str, Any]) -> Report:
    """The report that `data` wrote.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    return msgspec.convert(dict(held), Report)


def text(reports: Sequence[Report]) -> str:
    """All reports: a line each, then what is wrong; no colour carries meaning."""
    return "\n".join("\n".join(_one(report)) + "\n" for report in reports)


def headline(report: Report) -> str:
    """The report in a line: `unit (JUNITXML): FAILED, 12 cases: 10 succeeded, 2 failed, 83.33 % passed, 4.2 s`."""
    start = f"{report.name} ({report.format}): {report.status}"
    if report.type == "CODE_COVERAGE":
        sums = covered(report.coverage)
        parts = [counted(len(report.coverage), "file")]
        parts += [_share("lines", sums.lines_covered, sums.lines)]
        parts += [_share("branches", sums.branches_covered, sums.branches)] if sums.branches else []
        return f"{start}, {', '.join(parts)}"
    told = ", ".join(f"{number} {status.lower()}" for status, number in report.counts.items() if number)
    rate = pass_rate(report.counts)
    parts = [counted(report.total, "case") + (f": {told}" if told else "")]
    parts += [f"{rate:.2f} % passed"] if rate is not None else []
    return f"{start}, {', '.join([*parts, f'{report.duration:.2f} s'])}"


def _share(what: str, part: int, whole: int) -> str:
    share = percent(part, whole)
    return f"no {what}" if share is None else f"{share:.2f} % of {whole} {what}"


def _one(report: Report) -> list[str]:
    lines = [headline(report)]
    for problem in report.problems:
        lines.append(f"  {plain(str(problem))}")
        lines += [f"    fix: {plain(problem.fix)}"] if problem.fix else []
    lines += [f"  note: {plain(note)}" for note in report.notes]
    bad = [*failed(report.cases), *report.beyond]
    for case in bad[:_SHOWN]:
        lines += _case(case)
    if len(bad) > _SHOWN:
        lines.append(f"  … and {len(bad) - _SHOWN} more that did not succeed")
    worst = sorted((one for one in report.coverage if one.lines_covered < one.lines), key=_missed)[:_SHOWN]
    if worst:
        width = max(len(plain(one.path)) for one in worst)
        lines += [
            f"  {plain(one.path):{width}}  {percent(one.lines_covered, one.lines):6.2f} %  {one.lines_covered}/{one.lines} lines"
            for one in worst
        ]
    return lines


def _missed(one: Any) -> tuple[int, str]:
    return one.lines_covered - one.lines, one.path


def failed(cases: Sequence[Case]) -> list[Case]:
    """Those that failed or erred."""
    return [case for case in cases if case.status in ("FAILED", "ERROR")]


def _case(case: Case) -> list[str]:
    where = f"{case.suite}: {case.name}" if case.suite else case.name
    took = f" ({case.duration:.2f} s)" if case.duration is not None else ""
    lines = [f"  {case.status} {plain(where)}{took}"]
    said = [line for line in case.message.splitlines() if line.strip()]
    lines += [f"      {plain(line)[:160]}" for line in said[:_LINES]]
    if len(said) > _LINES:
        lines.append(f"      … {len(said) - _LINES} more lines")
    return lines


def plain(told: str) -> str:
    """Text that cannot move the cursor or ring the bell: a report file must not control the terminal."""
    return "".join(" " if c == "\t" else c if c.isprintable() else f"\\x{ord(c):02x}" for c in told)
