"""The frame of a page that stands alone: no scripts, no fonts or pictures from elsewhere, every text escaped."""

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
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --text: #1c2024; --quiet: #5d6673; --line: #d9dee5;
  --fail: #b3261e; --pass: #146c2e; --skip: #6b5b00; --gone: #fce8e6; --come: #e2f4e6; --tint: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1d2126; --text: #e6e9ee; --quiet: #9aa4b2;
  --line: #343b45; --fail: #ff9d94; --pass: #7fd699; --skip: #e0c65a; --gone: #4a2322; --come: #173a23; --tint: #272d35; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--ground); color: var(--text); }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
header p { margin: 0; color: var(--quiet); }
.verdict { display: inline-block; font-weight: 700; padding: 0 .6rem; border-radius: 1rem; border: 2px solid currentColor; margin-left: .5rem; }
$style</style>
</head>
<body>
<main>
<header><h1>$title <span class="verdict $verdict">$said</span></h1>
<p>$summary</p></header>
$body
</main>
</body>
</html>
""")


def page(title: str, *, verdict: str, said: str, summary: str, style: str, body: str) -> str:
    """A whole page. `verdict` is the class of what is `said`; `style` is CSS, `summary` and `body` are HTML; the rest is
    escaped here.
    """
    return _PAGE.substitute(
        title=escape(title),
        verdict=escape(verdict),
        said=escape(said),
        summary=summary,
        style=style,
        body=body,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, which are escaped; it scrolls in itself where it is wider than the page."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
