"""The chart: bars of seconds, one group for each speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TITLES = {"whole": "pulled whole", "lazy": "lazy", "listed": "lazy, with a list"}
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>{title}</title>
<style>
text {{ fill: #24292f }} .case {{ font-weight: 600 }} .head {{ font-size: 14px; font-weight: 600 }}
.ours {{ fill: #1a7f64 }} .other {{ fill: #8c959f }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #d0d7de }} .ours {{ fill: #3fb98f }} .other {{ fill: #6e7781 }} }}
</style>
<text class="head" x="12" y="22">{title}</text>"""
_TITLE = "Seconds from nothing to the first import of torch"


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the chart of what `bench/lazy.py` found."""
    starts = found["starts"]
    longest = max(row["seconds"] for row in starts)
    parts, y = [], 40
    for speed in dict.fromkeys(row["speed"] for row in starts):
        parts.append(f'<text class="case" x="12" y="{y + 16}">{speed}</text>')
        y += 28
        for row in (one for one in starts if one["speed"] == speed):
            width = 420 * row["seconds"] / longest
            kind = "other" if row["kind"] == "whole" else "ours"
            said = f"{row['seconds']:.1f} s, {row['megabytes']:.0f} MB fetched"
            parts.append(
                f'<text x="152" y="{y + 13}" text-anchor="end">{_TITLES[row["kind"]]}</text>'
                f'<rect class="{kind}" x="160" y="{y}" width="{width:.1f}" height="18" rx="2"/>'
                f'<text x="{166 + width:.1f}" y="{y + 13}">{said}</text>'
            )
            y += 26
        y += 10
    head = _HEAD.format(height=y + 6, title=_TITLE)
    path.write_text("\n".join([head, *parts, "</svg>\n"]))
