"""The chart of a contest, as an SVG that reads in light and dark pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_CASES = {
    "cold": "nothing made before",
    "pin": "one small pin changed",
    "source": "source changed",
    "nothing": "nothing changed",
}
_WIDTH, _LABEL, _BAR, _GAP, _TOP = 760, 230, 18, 8, 54


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One group of bars per case; lengths are seconds on a logarithmic scale, and every bar says its number."""
    import math

    titles = list(dict.fromkeys(row["title"] for row in rows))
    most = max(row["seconds"] for row in rows)
    least = min(row["seconds"] for row in rows) / 2
    room = _WIDTH - _LABEL - 90
    parts, y = [], _TOP
    for case, label in _CASES.items():
        parts.append(f'<text class="case" x="12" y="{y + 2}">{escape(label)}</text>')
        y += 14
        for title in titles:
            times = [row["seconds"] for row in rows if row["title"] == title and row["case"] == case]
            if not times:
                continue
            seconds = sorted(times)[len(times) // 2]
            length = room * math.log(seconds / least) / math.log(most / least)
            kind = "ours" if title.startswith("Seatrial") else "other"
            parts.append(
                f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(title)}</text>'
                f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
                f'<text x="{_LABEL + length + 6:.1f}" y="{y + 13}">{_seconds(seconds)}</text>'
            )
            y += _BAR + _GAP
        y += 22
    path.write_text(_PAGE.format(width=_WIDTH, height=y, body="\n".join(parts)))


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 20 else f"{value:.1f} s" if value >= 2 else f"{value:.2f} s"  # noqa: PLR2004


_PAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>Seconds from locked requirements to a pushed image, logarithmic</title>
<style>
text {{ fill: #24292f }} .case {{ font-weight: 600 }} .head {{ font-size: 14px; font-weight: 600 }}
.ours {{ fill: #1a7f64 }} .other {{ fill: #8c959f }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #d0d7de }} .ours {{ fill: #3fb98f }} .other {{ fill: #6e7781 }} }}
</style>
<text class="head" x="12" y="22">Seconds from locked requirements to a pushed image (logarithmic scale)</text>
{body}
</svg>
"""
