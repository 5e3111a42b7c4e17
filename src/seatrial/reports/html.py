"""Pages that stand alone: no scripts, no fonts or pictures from elsewhere, every value escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from seatrial.reports import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = """\
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
.verdict.pass, .mark.pass { color: var(--pass); } .verdict.fail, .mark.fail { color: var(--fail); } .mark.skip { color: var(--skip); }
code, pre { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
fieldset { border: 0; margin: 1rem 0; padding: 0; }
legend { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.filter { position: absolute; opacity: 0; }
.filter + label { display: inline-block; padding: .25rem .8rem; margin: 0 .25rem .25rem 0; border: 1px solid var(--line);
  border-radius: 1rem; background: var(--card); cursor: pointer; }
.filter:checked + label { background: var(--text); color: var(--card); border-color: var(--text); }
.filter:focus-visible + label { outline: 3px solid #4c8dff; outline-offset: 1px; }
fieldset:has(#only-fail:checked) ~ .checks > :not(.fail), fieldset:has(#only-pass:checked) ~ .checks > :not(.pass),
fieldset:has(#only-skip:checked) ~ .checks > :not(.skip) { display: none; }
.checks { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem; }
.checks > li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 6px; padding: .6rem .9rem; }
.checks > .fail { border-left-color: var(--fail); padding-block: .9rem; } .checks > .pass { border-left-color: var(--pass); }
.checks > .skip { border-left-color: var(--skip); }
.head { display: flex; flex-wrap: wrap; gap: 0 .75rem; align-items: baseline; }
.head code { font-weight: 600; font-size: 14px; } .mark { font-weight: 700; white-space: nowrap; }
.when { margin-left: auto; color: var(--quiet); font-size: .85rem; white-space: nowrap; }
.message { margin: .2rem 0 0; } .fail .message { font-weight: 600; }
.fix { margin: .6rem 0 0; padding: .5rem .75rem; background: var(--tint); border-radius: 6px; }
.edit { margin: .4rem 0 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; background: var(--card); }
.edit p { margin: 0; padding: .15rem .6rem; color: var(--quiet); font: 13px/1.5 ui-monospace, monospace; }
.edit pre { margin: 0; padding: .1rem .6rem; } .gone { background: var(--gone); } .come { background: var(--come); }
details { margin-top: .4rem; } summary { cursor: pointer; color: var(--quiet); } details pre { margin: .3rem 0 0; }
@media print { fieldset { display: none; } body { background: none; } }
"""
_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "skip": "skipped"}
_SAID = {"pass": "✓ passed", "fail": "✗ failed"}
_LABELS = (("all", "All"), ("fail", "Failed"), ("pass", "Passed"), ("skip", "Skipped"))


class Row(NamedTuple):
    """One answer. `edit` is the place and what goes and comes there; `ran` is set for an answer from memory."""

    id: str
    status: str
    message: str
    fix: str
    details: Sequence[str]
    seconds: float
    edit: tuple[str, str, str] | None = None
    ran: str = ""


def image_tests_page(digest: str, verdict: str, level: str, seconds: str, rows: Sequence[Row]) -> str:
    """The page of one image's test: what failed and how to fix it first; statuses can be chosen without a script."""
    remembered = sum(bool(row.ran) for row in rows)
    before = f" · {remembered} of {len(rows)} answered from memory" if remembered else ""
    summary = f"level {escape(level)} · {escape(seconds)} s{before}<br><code>{escape(digest)}</code>"
    checks = "\n".join(map(_row, rows))
    return frame.page(
        "Image test",
        verdict=verdict,
        said=_SAID.get(verdict, verdict),
        summary=summary,
        style=_STYLE,
        body=f'{_filters(rows)}\n<ul class="checks">\n{checks}\n</ul>',
    )


def _filters(rows: Sequence[Row]) -> str:
    """Radio buttons that the style sheet acts on; only for statuses that there are."""
    counts = {name: sum(name in (row.status, "all") for row in rows) for name, _ in _LABELS}
    buttons = "".join(
        f'<input class="filter" type="radio" name="show" id="only-{name}"{" checked" if name == "all" else ""}>'
        f'<label for="only-{name}">{label} {counts[name]}</label>'
        for name, label in _LABELS
        if counts[name]
    )
    return f"<fieldset><legend>Show</legend>{buttons}</fieldset>"


def _row(row: Row) -> str:
    when = f"as on {escape(row.ran[:16])}Z" if row.ran else f"{row.seconds:.2f} s"
    parts = [
        (
            f'<li class="{escape(row.status)}"><div class="head"><span class="mark {escape(row.status)}">'
            f"{escape(_MARKS.get(row.status, row.status))}</span><code>{escape(row.id)}</code>"
            f'<span class="when">{when}</span></div><p class="message">{escape(row.message)}</p>'
        )
    ]
    if row.fix or row.edit:
        parts.append(f'<div class="fix"><strong>Fix:</strong> {escape(row.fix)}{_edit(row.edit)}</div>')
    if row.details:
        listed = escape("\n".join(row.details))
        opened = " open" if row.status == "fail" else ""
        count = f"{len(row.details)} detail{'' if len(row.details) == 1 else 's'}"
        parts.append(f"<details{opened}><summary>{count}</summary><pre>{listed}</pre></details>")
    return "".join([*parts, "</li>"])


def _edit(edit: tuple[str, str, str] | None) -> str:
    if edit is None:
        return ""
    place, gone, come = edit
    old = f'<pre class="gone">- {escape(gone)}</pre>' if gone else ""
    return f'<div class="edit"><p>{escape(place)}</p>{old}<pre class="come">+ {escape(come)}</pre></div>'
