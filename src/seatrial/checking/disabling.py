"""Comments that disable rules.

`# seatrial: disable=RULE[,RULE] [-- reason]` hides findings on its own line, or on the next one when it stands
alone on a line; `disable-file=` hides them in the whole file. `//` and `;` may stand for `#`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.checking.registry import is_known, matches, nearest
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.findings import Finding, Place
    from seatrial.sources.text import Source

_COMMENT = re.compile(
    r"(?:#|//|;)[ \t]*seatrial:[ \t]*(?P<verb>disable|disable-file)[ \t]*=[ \t]*"
    r"(?P<rules>[\w./*-]+(?:[ \t]*,[ \t]*[\w./*-]+)*)"
)


class Disabled(msgspec.Struct, frozen=True):
    """One rule or `area/*` that a comment disables. `line` is 0 for the whole file."""

    pattern: str
    line: int
    place: Place


def read(source: Source) -> tuple[Disabled, ...]:
    """The disabling comments of a file."""
    if "seatrial:" not in source.text:
        return ()
    found: list[Disabled] = []
    for match in _COMMENT.finditer(source.text):
        line, column = source.position(match.start())
        alone = not source.line(line)[: column - 1].strip()
        for part in re.finditer(r"[^\s,]+", match["rules"]):
            start = match.start("rules") + part.start()
            where = source.place(start, start + len(part.group()))
            scope = 0 if match["verb"] == "disable-file" else line + alone
            found.append(Disabled(part.group(), scope, where))
    return tuple(found)


def hide(
    findings: Iterable[Finding], comments: Mapping[str, tuple[Disabled, ...]], everywhere: tuple[str, ...]
) -> list[Finding]:
    """Findings that nothing disables; `everywhere` are the patterns of the configuration."""
    return [
        one
        for one in findings
        if not any(matches(pattern, one.rule) for pattern in everywhere)
        and not any(
            comment.line in (0, one.line) and matches(comment.pattern, one.rule)
            for comment in comments.get(one.path, ())
        )
    ]


def unknown(comments: Iterable[Disabled]) -> list[Finding]:
    """Notes about comments that disable what does not exist."""
    return [_unknown(comment.pattern, comment.place) for comment in comments if not is_known(comment.pattern)]


def unknown_in_config(patterns: Iterable[tuple[str, Place]]) -> list[Finding]:
    """The same for the patterns of `check.disable`."""
    return [_unknown(pattern, place) for pattern, place in patterns if not is_known(pattern)]


def _unknown(pattern: str, place: Place) -> Finding:
    near = nearest(pattern)
    hint = f"; did you mean {near!r}?" if near else ""
    return finding("check/unknown-rule", "note", place, f"there is no rule {pattern!r} to disable{hint}")
