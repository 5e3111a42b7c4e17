"""The chart: what was decided at each sample size, as an SVG that reads in light and dark pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TITLE = "Verdicts by the number of requests that each version answered"
_STYLE = """
text { fill: #24292f } .case { font-weight: 600 } .head { font-size: 14px; font-weight: 600 }
.promote { fill: #1a7f64 } .hold { fill: #c9cfd6 } .roll { fill: #c0442d } .on { fill: #ffffff } .off { fill: #24292f }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .promote { fill: #3fb98f } .hold { fill: #4b535d }
.roll { fill: #e0694f } .on { fill: #0d1117 } .off { fill: #d0d7de } }
"""
_LEFT, _WIDTH, _ROW = 110, 560, 26
_NARROW = 0.06
"""A share that is smaller has no room for its number."""


class Bar(NamedTuple):
    """The shares of shifts that were promoted, held and rolled back with so many requests of each version."""

    requests: int
    shares: Sequence[float]


def draw(groups: Mapping[str, Sequence[Bar]], path: Path) -> None:
    """Write the chart: a group of bars for each kind of shifts."""
    top, parts = 58, []
    for name, bars in groups.items():
        parts.append(f'<text class="case" x="12" y="{top}">{escape(name)}</text>')
        for place, bar in enumerate(bars):
            parts += _bar(bar, top + 12 + place * _ROW)
        top += 12 + len(bars) * _ROW + 28
    legend = "".join(
        f'<rect class="{kind}" x="{12 + 110 * place}" y="{top - 22}" width="12" height="12" rx="2"/>'
        f'<text x="{30 + 110 * place}" y="{top - 12}">{label}</text>'
        for place, (kind, label) in enumerate(
            (("promote", "promote"), ("hold", "hold"), ("roll", "roll back"))
        )
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {top}" width="700" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">\n<title>{_TITLE}</title>\n<style>{_STYLE}</style>\n'
        f'<text class="head" x="12" y="24">{_TITLE}</text>\n' + "\n".join(parts) + f"\n{legend}\n</svg>\n",
        encoding="utf-8",
    )


def _bar(bar: Bar, top: float) -> list[str]:
    found = [f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{bar.requests:,}</text>']
    left = float(_LEFT)
    for kind, share in zip(("promote", "hold", "roll"), bar.shares, strict=True):
        width = share * _WIDTH
        if share:
            found.append(f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="18"/>')
        if share >= _NARROW:
            tone = "off" if kind == "hold" else "on"
            found.append(
                f'<text class="{tone}" x="{left + width / 2:.1f}" y="{top + 13}" text-anchor="middle">{share:.0%}</text>'
            )
        left += width
    return found
