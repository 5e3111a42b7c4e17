"""The first steps of shipping: copy the project and look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.shipping import copying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.run import Report
    from seatrial.engine.call import Context
    from seatrial.findings import Finding


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
    """Run all static checks; with `fix` apply the safe fixes to a second copy, with `write` to the project as well.

    A second copy, so that an attempt that was cut off finds again what there was to find.
    """
    from seatrial.checking.fixing import Choice, Fixed
    from seatrial.checking.fixing import fix as repair
    from seatrial.checking.run import Options
    from seatrial.checking.run import check as look

    place = _second_copy(context, Path(source)) if fix else Path(source)
    first = look([place])
    done = repair([place], first, Options(), Choice()) if fix else Fixed(first, (), ())
    if write:
        repair([Path(directory)], look([Path(directory)]), Options(), Choice())
    if fix:
        context.reach("ship/fixed")
    diff = "".join(_change(first, done.report, path) for path in done.changed)
    details = _details(first.findings, done.report, done.applied, diff)
    for line in details:
        context.say(line)
    counted = first.summary
    return {
        "path": str(place),
        "findings": [_plain(finding) for finding in first.findings],
        "left": [_plain(finding) for finding in done.report.findings],
        "applied": list(done.applied),
        "diff": diff,
        "errors": done.report.summary.error,
        "files": len(first.checked),
        "details": details,
        "summary": f"{len(first.checked)} files: {_counts(counted.error, counted.warning, counted.note)}"
        + (f"; {len(done.applied)} fixed" if done.applied else ""),
    }


def _second_copy(context: Context, source: Path) -> Path:
    from seatrial.files import remove_tree

    place = context.tree("fixed")
    remove_tree(place)
    place.mkdir(mode=0o700)
    copying.copy(source, place)
    return place


def _change(before: Report, after: Report, path: str) -> str:
    """What changed in one file between two checks, as a unified diff."""
    from seatrial.sources.edits import diff

    return diff(before.sources[path], after.sources[path])


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


def _details(findings: Sequence[Finding], report: Report, applied: Sequence[str], diff: str) -> list[str]:
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
    lines += [f"fixed: {title}" for title in applied]
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
