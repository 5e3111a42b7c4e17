"""Pages that stand alone: no scripts, no fonts or pictures from elsewhere, every value escaped."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem; border-bottom: 1px solid #8884; }
td.status { font-weight: 600; white-space: nowrap; }
tr.fail td.status { color: #c5221f; }
tr.pass td.status { color: #188038; }
code, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
@media (prefers-color-scheme: dark) { tr.fail td.status { color: #f28b82; } tr.pass td.status { color: #81c995; } }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
$body
</body>
</html>
""")
_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "skip": "skipped"}

Row = tuple[str, str, str, str, "Sequence[str]", str]
"""Identifier, status, message, fix, details, seconds."""


def image_tests_page(digest: str, verdict: str, level: str, seconds: str, rows: Iterable[Row]) -> str:
    """The page of one image's test: what failed and how to fix it first."""
    lines = [_row(*row) for row in rows]
    table = (
        "<table><thead><tr><th>Check</th><th>Status</th><th>What was found</th><th>Seconds</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
    summary = f"Verdict: <strong>{escape(verdict)}</strong> · level {escape(level)} · {escape(seconds)} s<br><code>{escape(digest)}</code>"
    return _PAGE.substitute(title="Image test", summary=summary, body=table)


def _row(identifier: str, status: str, message: str, fix: str, details: Sequence[str], seconds: str) -> str:
    found = escape(message)
    if fix:
        found += f"<br><strong>Fix:</strong> {escape(fix)}"
    if details:
        listed = escape("\n".join(details))
        found += f"<details{' open' if status == 'fail' else ''}><summary>Details</summary><pre>{listed}</pre></details>"
    return (
        f'<tr class="{escape(status)}"><td><code>{escape(identifier)}</code></td>'
        f'<td class="status">{escape(_MARKS.get(status, status))}</td><td>{found}</td><td>{escape(seconds)}</td></tr>'
    )
