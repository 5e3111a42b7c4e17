"""Pages of builds that stand alone, in the look of the other reports: no scripts, nothing from elsewhere, all escaped."""

from __future__ import annotations

from html import escape

from seatrial.reports import frame

_STYLE = """\
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
.good, .SUCCEEDED { color: var(--pass); } .bad, .FAILED, .ERROR { color: var(--fail); } .SKIPPED, .UNKNOWN, .INCOMPLETE { color: var(--skip); }
.wide { overflow-x: auto; margin: 1rem 0; } .wide svg { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: break-word; white-space: pre-wrap; }
th { color: var(--quiet); font-weight: 600; }
ul.cases { list-style: none; margin: 0; padding: 0; display: grid; gap: .4rem; }
ul.cases > li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 6px; padding: .4rem .9rem; }
ul.cases > .FAILED, ul.cases > .ERROR { border-left-color: var(--fail); color: inherit; padding-block: .7rem; }
ul.cases > .SUCCEEDED { border-left-color: var(--pass); color: inherit; } ul.cases > .SKIPPED, ul.cases > .UNKNOWN { border-left-color: var(--skip); color: inherit; }
.head { display: flex; flex-wrap: wrap; gap: 0 .75rem; align-items: baseline; } .head code { font-weight: 600; overflow-wrap: anywhere; }
.mark { font-weight: 700; } .when { margin-left: auto; color: var(--quiet); font-size: .85rem; }
pre { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: .4rem 0 0; }
.problem { margin: .5rem 0; padding: .5rem .75rem; border-left: 4px solid var(--fail); background: var(--card); border-radius: 6px; }
.note { color: var(--quiet); } .bar { display: inline-block; width: 8rem; height: .6rem; background: var(--tint); border: 1px solid var(--line); vertical-align: baseline; }
.bar i { display: block; height: 100%; background: var(--pass); }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--quiet); }
"""


def page(title: str, *, said: str, good: bool, summary: str, body: str) -> str:
    """A whole page. `body` is HTML; the other texts are escaped here."""
    verdict = "good" if good else "bad"
    return frame.page(title, verdict=verdict, said=said, summary=escape(summary), style=_STYLE, body=body)
