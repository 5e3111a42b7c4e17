"""Choosing among fixes, applying them, and looking again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.checking.run import check
from seatrial.sources.edits import edited, select, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.checking.run import Options, Report
    from seatrial.findings import Finding, Fix
    from seatrial.sources.edits import Selection
    from seatrial.sources.text import Source

_ROUNDS = 10


class Fixed(msgspec.Struct, frozen=True):
    """What is left after fixing, the titles of the fixes that were applied, and the files that changed."""

    report: Report
    applied: tuple[str, ...]
    changed: tuple[str, ...]


def chosen(findings: Sequence[Finding], *, unsafe: bool) -> list[Fix]:
    """The fix of each finding that may be applied: safe ones, or any when `unsafe`."""
    fixes = []
    for one in findings:
        offered = [fix for fix in (one.fix, *one.alternatives) if fix is not None and fix.edits]
        allowed = [fix for fix in offered if fix.safe or unsafe]
        fixes += allowed[:1]
    return fixes


def selection(report: Report, *, unsafe: bool) -> Selection:
    """The fixes of a report that can be applied together.

    Raises:
        SeatrialError: a fix does not fit its file.
    """
    return select(chosen(report.findings, unsafe=unsafe), report.sources)


def changes(report: Report, *, unsafe: bool) -> list[tuple[Source, Source]]:
    """Each file that fixing would change, before and after; nothing is written."""
    spans = selection(report, unsafe=unsafe).edits
    pairs = [(report.sources[path], edited(report.sources[path], own)) for path, own in sorted(spans.items())]
    return [(before, after) for before, after in pairs if before.text != after.text]


def fix(paths: Sequence[Path], report: Report, options: Options, *, unsafe: bool) -> Fixed:
    """Apply fixes and check again, until none is left: fixes that touch the same text take turns.

    Raises:
        SeatrialError: a file changed meanwhile or cannot be written.
    """
    applied: list[str] = []
    changed: dict[str, None] = {}
    for _ in range(_ROUNDS):
        picked = selection(report, unsafe=unsafe)
        written = write(report.root, picked, report.sources)
        if not written:
            break
        applied += [one.title for one in picked.fixes]
        changed.update(dict.fromkeys(written))
        report = check(paths, options)
    return Fixed(report, tuple(applied), tuple(changed))
