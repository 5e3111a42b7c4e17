"""Findings for people: where, what, the line itself, why, and the change that would fix it.

Colour only repeats what the words say.
"""

from __future__ import annotations

import os
import unicodedata
from typing import IO, TYPE_CHECKING

from seatrial.sources.edits import diff, edited, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.findings import Finding, Fix
    from seatrial.sources.text import Source

_COLOURS = {"error": "1;31", "warning": "1;33", "note": "1;36"}
_WIDEST = 160


def wants_colour(stream: IO[str]) -> bool:
    """Whether to colour what goes to a stream: a terminal that can, and nobody said NO_COLOR (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def render(
    findings: Sequence[Finding],
    sources: Mapping[str, Source],
    *,
    colour: bool = False,
    prefix: str = "",
    unsafe: str = "--fix --unsafe applies it",
) -> str:
    """All findings, a blank line between them. `prefix` goes before each path, so that it can be clicked.

    `unsafe` says how a fix that may change behaviour is applied.
    """
    return "\n".join(_finding(one, sources, colour, prefix, unsafe) for one in findings)


def render_diff(changes: Sequence[tuple[Source, Source]], *, colour: bool = False) -> str:
    """Unified diffs of files before and after."""
    return "".join(_coloured_diff(diff(before, after), colour) for before, after in changes)


def _finding(one: Finding, sources: Mapping[str, Source], colour: bool, prefix: str, unsafe: str) -> str:
    severity = _paint(f"{one.severity}[{one.rule}]", _COLOURS[one.severity], colour)
    lines = [
        f"{_paint(f'{prefix}{one.path}:{one.line}:{one.column}:', '1', colour)} {severity} {_plain(one.message)}"
    ]
    source = sources.get(one.path)
    if source is not None:
        lines += _excerpt(source, one.line, one.column, colour)
    if one.cause:
        lines.append(f"  cause: {_plain(one.cause)}")
    if one.fix is not None:
        lines += _fix(one.fix, "fix", sources, colour, unsafe)
    for other in one.alternatives:
        lines += _fix(other, "or", sources, colour, "")
    if one.source:
        lines.append(f"  see: {one.source}")
    return "\n".join(lines) + "\n"


def _excerpt(source: Source, line: int, column: int, colour: bool) -> list[str]:
    text = source.line(line)
    if not text.strip():
        return []
    # A long line is shown from a little before the place.
    first = max(0, column - 1 - _WIDEST // 2) if len(text) > _WIDEST else 0
    shown = _plain(text[first : first + _WIDEST])
    before = _plain(text[first : column - 1])
    number = str(line)
    caret = " " * _width(before) + "^"
    return [
        f"  {number} | {shown}",
        f"  {' ' * len(number)} | {_paint(caret, _COLOURS['error'], colour)}",
    ]


def _plain(text: str) -> str:
    """Text that cannot move the cursor or ring the bell: a file must not control the terminal."""
    return "".join(
        " " if c == "\t" else c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text
    )


def _width(text: str) -> int:
    """Columns on a terminal: East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _fix(fix: Fix, word: str, sources: Mapping[str, Source], colour: bool, unsafe: str) -> list[str]:
    how = f"; {unsafe}" if unsafe else ""
    note = "" if fix.safe else f" (not safe{how})"
    lines = [f"  {word}: {_plain(fix.title)}{note}"]
    if not fix.edits or any(edit.path not in sources for edit in fix.edits):
        return lines
    for path, spans in select([fix], sources).edits.items():
        change = diff(sources[path], edited(sources[path], spans), context=0)
        kept = [line for line in change.split("\n")[2:] if line[:1] in "+-" and line]
        lines += [f"    {_diff_line(_plain(line), colour)}" for line in kept]
    return lines


def _coloured_diff(text: str, colour: bool) -> str:
    return "".join(f"{_diff_line(line, colour)}\n" for line in text.split("\n")[:-1]) if colour else text


def _diff_line(line: str, colour: bool) -> str:
    if line.startswith(("---", "+++")):
        return _paint(line, "1", colour)
    return _paint(line, {"+": "32", "-": "31", "@": "36"}.get(line[:1], ""), colour)


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
