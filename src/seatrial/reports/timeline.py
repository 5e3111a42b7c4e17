"""The timeline of a run: what happened when, as a table with bars."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH = 32


class Row(NamedTuple):
    """One line: `offset` and `duration` are seconds from the run's start."""

    name: str
    status: str
    offset: float
    duration: float | None
    cached: bool
    depth: int


def rows(run: Mapping[str, Any]) -> list[Row]:
    """The stages of a run and their steps, in order. `run` is a run as printed by `--json`."""
    found: list[Row] = []
    begin = _seconds(run["started"])
    for stage in run["stages"]:
        found.append(_row(stage, begin, 0))
        if stage["status"] != "skip":
            found += [_row(step, begin, 1) for step in stage["steps"]]
    return found


def text(run: Mapping[str, Any]) -> str:
    """The timeline for a terminal of at least 90 columns; no colour carries meaning."""
    lines = rows(run)
    total = max((row.offset + (row.duration or 0) for row in lines), default=0) or 1
    width = max([len(row.name) + 2 * row.depth for row in lines] + [8])
    out = [f"{'':{width}}  {'status':8} {'start':>8} {'took':>8}"]
    for row in lines:
        name = "  " * row.depth + row.name
        took = "cached" if row.cached else _short(row.duration)
        start = "" if row.status in ("skip", "pending") else _short(row.offset)
        out.append(f"{name:{width}}  {row.status:8} {start:>8} {took:>8}  {_bar(row, total)}".rstrip())
    return "\n".join(out) + "\n"


def _row(item: Mapping[str, Any], begin: float, depth: int) -> Row:
    started = _seconds(item["started"]) if item["started"] else begin
    return Row(item["name"], item["status"], started - begin, item["duration"], item["cached"], depth)


def _bar(row: Row, total: float) -> str:
    if row.duration is None:
        return ""
    first = int(row.offset / total * _WIDTH)
    last = max(first + 1, round((row.offset + row.duration) / total * _WIDTH))
    mark = "·" if row.cached else ("━" if row.depth == 0 else "─")
    return " " * first + mark * (last - first)


def _short(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 100:  # noqa: PLR2004 - three digits
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
