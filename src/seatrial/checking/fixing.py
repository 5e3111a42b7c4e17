"""Choosing among fixes, applying them, and looking again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.checking.run import check
from seatrial.findings import SEVERITIES, Severity
from seatrial.sources.edits import edited, select, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.checking.run import Options, Report
    from seatrial.findings import Finding, Fix
    from seatrial.sources.edits import Selection
    from seatrial.sources.text import Source

_ROUNDS = 50


class Fixed(msgspec.Struct, frozen=True):
    """What is left after fixing, the titles of the fixes that were applied, and the files that changed."""

    report: Report
    applied: tuple[str, ...]
    changed: tuple[str, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings are fixed, and how.

    Only `safe` fixes unless `unsafe`; only findings of `rules` and `severities`, all where these are empty.
    `alternative` is which of the fixes of a finding is taken, from 1; the last one where there are fewer. `singly`
    checks again after each: for fixes that were tried one by one, and say nothing about two of them together.
    """

    unsafe: bool = False
    rules: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset()
    alternative: int = 1
    singly: bool = False


def chosen(findings: Sequence[Finding], choice: Choice) -> list[Fix]:
    """The fix of each finding that may be applied, errors first where just one is."""
    fixes = []
    for one in (
        sorted(findings, key=lambda one: SEVERITIES.index(one.severity)) if choice.singly else findings
    ):
        if choice.rules and one.rule not in choice.rules:
            continue
        if choice.severities and one.severity not in choice.severities:
            continue
        offered = [fix for fix in (one.fix, *one.alternatives) if fix is not None and fix.edits]
        allowed = [fix for fix in offered if fix.safe or choice.unsafe]
        fixes += allowed[: choice.alternative][-1:]
    return fixes[:1] if choice.singly else fixes


def selection(report: Report, choice: Choice) -> Selection:
    """The fixes of a report that can be applied together.

    Raises:
        SeatrialError: a fix does not fit its file.
    """
    return select(chosen(report.findings, choice), report.sources)


def changes(report: Report, choice: Choice) -> list[tuple[Source, Source]]:
    """Each file that fixing would change at first, before and after; nothing is written."""
    spans = selection(report, choice).edits
    pairs = [(report.sources[path], edited(report.sources[path], own)) for path, own in sorted(spans.items())]
    return [(before, after) for before, after in pairs if before.text != after.text]


def fix(paths: Sequence[Path], report: Report, options: Options, choice: Choice) -> Fixed:
    """Apply fixes and check again, until none is left: fixes that touch the same text take turns.

    Raises:
        SeatrialError: a file changed meanwhile or cannot be written.
    """
    applied: list[str] = []
    changed: dict[str, None] = {}
    for _ in range(_ROUNDS):
        picked = selection(report, choice)
        written = write(report.root, picked, report.sources)
        if not written:
            break
        applied += [one.title for one in picked.fixes]
        changed.update(dict.fromkeys(written))
        report = check(paths, options)
    return Fixed(report, tuple(applied), tuple(changed))


def preview(
    paths: Sequence[Path], report: Report, options: Options, choice: Choice
) -> tuple[Fixed, list[tuple[Source, Source]]]:
    """What `fix` would do, all of it, and each file before and after; nothing is written.

    Raises:
        SeatrialError: a fix does not fit its file.
    """
    applied: list[str] = []
    before: dict[str, Source] = {}
    after: dict[str, Source] = {}
    for _ in range(_ROUNDS):
        pairs = changes(report, choice)
        if not pairs:
            break
        applied += [one.title for one in selection(report, choice).fixes]
        before = {old.path: old for old, _ in pairs} | before
        after |= {new.path: new for _, new in pairs}
        report = check(paths, msgspec.structs.replace(options, changed=after))
    changed = [(before[path], new) for path, new in sorted(after.items()) if before[path].text != new.text]
    return Fixed(report, tuple(applied), tuple(one.path for one, _ in changed)), changed
