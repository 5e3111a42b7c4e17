"""How a report group does over the runs of a project: pass rate and duration, or coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BARS = "▁▂▃▄▅▆▇█"


class Point(NamedTuple):
    """One run's report: `rate` is the share of passed cases, or of covered lines, in percent; `duration` in seconds."""

    run: str
    started: str | None
    report: str
    status: str
    total: int
    rate: float | None
    duration: float | None


def trend(runs: Iterable[Mapping[str, Any]]) -> list[Point]:
    """The reports of `runs` (as `--json` prints them), oldest first, those of one group together."""
    points: list[Point] = []
    for run in sorted(runs, key=lambda one: str(one.get("started") or "")):
        points += [_point(run, held) for held in run["outputs"].get("reports") or ()]
    order = {name: place for place, name in enumerate(dict.fromkeys(one.report for one in points))}
    return sorted(points, key=lambda one: order[one.report])


def _point(run: Mapping[str, Any], held: Mapping[str, Any]) -> Point:
    totals = held.get("totals") or {}
    of_tests = held.get("type") == "TEST"
    return Point(
        run=run["id"],
        started=run.get("started"),
        report=str(held.get("name", "")),
        status=str(held.get("status", "")),
        total=int(totals.get("total" if of_tests else "lines") or 0),
        rate=totals.get("pass_rate" if of_tests else "line_percent"),
        duration=totals.get("duration") if of_tests else None,
    )


def text(points: list[Point]) -> str:
    """A table, and for each group a line of bars: higher is better."""
    lines = []
    for name in dict.fromkeys(one.report for one in points):
        mine = [one for one in points if one.report == name]
        lines.append(f"{name}  {bars([one.rate for one in mine])}")
        for one in mine:
            rate = "" if one.rate is None else f"{one.rate:.2f} %"
            took = "" if one.duration is None else f"{one.duration:.2f} s"
            lines.append(f"  {one.run}  {one.status:10} {rate:>9} of {one.total:<6} {took:>10}".rstrip())
    return "\n".join(lines) + ("\n" if lines else "")


def bars(rates: list[float | None]) -> str:
    """One bar for each rate, from nothing to all; a gap where there is none."""
    return "".join(" " if rate is None else _BARS[min(7, int(rate / 100 * 7.999))] for rate in rates)
