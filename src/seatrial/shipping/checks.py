"""The first steps of shipping: copy the project and look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.shipping import copying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.run import Report
    from seatrial.engine.call import Context
    from seatrial.findings import Finding, Fix

_ROUNDS = 3
"""Fixing one thing may uncover another; what is left after three rounds needs a person."""


def copy(context: Context, directory: str) -> dict[str, Any]:
    """Copy the project into the run's own folder, afresh when an earlier attempt was cut off."""
    from seatrial.engine.cache import content_hash
    from seatrial.files import remove_tree

    target = context.tree("source")
    remove_tree(target)
    target.mkdir(mode=0o700)
    files, size = copying.copy(Path(directory), target)
    context.reach("ship/copied")
    return {
        "path": str(target),
        "answers": content_hash(target),
        "summary": f"{files} files, {size / 1000:.0f} kB",
    }


def check(context: Context, source: str, directory: str, fix: bool, write: bool) -> dict[str, Any]:
    """Run all static checks on the copy; with `fix` apply the safe fixes, with `write` to the project as well."""
    from seatrial.checking.run import check as look

    report = first = look([Path(source)])
    applied: list[Fix] = []
    diffs: list[str] = []
    for _ in range(_ROUNDS if fix else 0):
        fixes = [f.fix for f in report.findings if f.fix is not None and f.fix.safe and f.severity != "note"]
        if not fixes:
            break
        done, diff = _apply(Path(source), Path(directory) if write else None, fixes, report)
        applied += done
        diffs.append(diff)
        context.reach("ship/fixed")
        report = look([Path(source)])
    for line in (details := _details(first.findings, report, applied, diffs)):
        context.say(line)
    left = report.summary
    counted = first.summary
    return {
        "findings": [_plain(finding) for finding in first.findings],
        "left": [_plain(finding) for finding in report.findings],
        "applied": [one.title for one in applied],
        "diff": "".join(diffs),
        "errors": left.error,
        "files": len(first.checked),
        "details": details,
        "summary": f"{len(first.checked)} files: {_counts(counted.error, counted.warning, counted.note)}"
        + (f"; {len(applied)} fixed" if applied else ""),
    }


def _apply(
    source: Path, original: Path | None, fixes: Sequence[Fix], report: Report
) -> tuple[list[Fix], str]:
    from seatrial.sources import edits

    selection = edits.select(fixes, report.sources)
    if original is not None:  # first: it refuses when the project has changed since it was copied
        edits.write(original, selection, report.sources)
    changed = edits.write(source, selection, report.sources)
    diff = "".join(
        edits.diff(report.sources[path], edits.edited(report.sources[path], selection.edits[path]))
        for path in changed
    )
    return list(selection.fixes), diff


def proposal(finding: Finding, report: Report) -> str:
    """The diff of a finding's fix, or nothing."""
    from seatrial.sources import edits

    if finding.fix is None:
        return ""
    selection = edits.select([finding.fix], report.sources)
    return "".join(
        edits.diff(report.sources[path], edits.edited(report.sources[path], spans))
        for path, spans in selection.edits.items()
    )


def _details(
    findings: Sequence[Finding], report: Report, applied: Sequence[Fix], diffs: Sequence[str]
) -> list[str]:
    lines: list[str] = []
    left = set(report.findings)
    for finding in findings:
        if finding.severity == "note":
            continue
        lines += [
            f"{finding.path}:{finding.line}:{finding.column}: {finding.severity}[{finding.rule}] {finding.message}"
        ]
        if finding.cause:
            lines.append(f"  cause: {finding.cause}")
        if finding in left and finding.fix is not None:
            lines.append(
                f"  fix: {finding.fix.title}" + ("" if finding.fix.safe else " (not applied by --fix alone)")
            )
            lines += [f"  {line}" for line in proposal(finding, report).splitlines()]
    for one in applied:
        lines.append(f"fixed: {one.title}")
    for diff in diffs:
        lines += [f"  {line}" for line in diff.splitlines()]
    return lines


def _plain(finding: Finding) -> Any:
    import msgspec

    return msgspec.to_builtins(finding)


def _counts(error: int, warning: int, note: int) -> str:
    parts = [
        f"{n} {word}{'' if n == 1 else 's'}"
        for n, word in ((error, "error"), (warning, "warning"), (note, "note"))
        if n
    ]
    return ", ".join(parts) or "nothing found"
