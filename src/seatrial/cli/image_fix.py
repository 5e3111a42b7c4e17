"""`seatrial image fix`: change as little as removes the conflicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.findings import (
    hint,
    need_files,
    prefix_of,
    print_report,
    target_option,
)
from seatrial.errors import ANSWER_IS_NO, DONE
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from seatrial.checking.fixing import Choice, Fixed
    from seatrial.checking.run import Options, Report


@click.command(epilog="Example: seatrial image fix . --diff")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
@click.option(
    "--diff", "show_diff", is_flag=True, help="Print what would change, and write nothing (the default)."
)
@click.option("--apply", is_flag=True, help="Write the changes, check again, and report what is left.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write every package that the image gets, pinned with hashes, to FILE.",
)
@click.option("--rule", "rules", multiple=True, metavar="ID", help="Fix findings of this rule only.")
@click.option("--keep", multiple=True, metavar="PACKAGE", help="Never change what is asked of this package.")
@click.option(
    "--alternative",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Which of the alternatives to take; the last one where there are fewer.",
)
@click.option("--safe", is_flag=True, help="Only changes that cannot break what works.")
@target_option("What the image runs on: {keys}.")
@click.option("--offline", is_flag=True, help="Do not resolve: judge from the files and the facts alone.")
@json_option
@directory_option
def fix(
    folder: Path,
    *,
    show_diff: bool,
    apply: bool,
    lock: Path | None,
    rules: tuple[str, ...],
    keep: tuple[str, ...],
    alternative: int,
    safe: bool,
    target: dict[str, str],
    offline: bool,
    as_json: bool,
) -> int:
    """Fix what `image check` finds with the smallest edits; comments and formatting stay.

    Without --apply it prints a diff. Errors and warnings are fixed, notes are left. Every change was tried: with it, its
    finding is gone and no other has come. With --lock, changes are applied first if --apply is given too. Exits with 1
    when errors are left, and when what is asked for cannot be installed together: then no lock is written.
    """
    _refuse(show_diff=show_diff, apply=apply, lock=lock, offline=offline)
    from seatrial.checking import registry, run
    from seatrial.checking.fixing import Choice

    for one in rules:
        registry.rule(one)
    options = run.image_options(target, offline=offline, keep=keep)
    choice = Choice(
        unsafe=not safe,
        rules=frozenset(rules),
        alternative=alternative,
        singly=True,
        severities=frozenset({"error", "warning"}),
    )
    report = run.check([folder], options)
    need_files(report, folder)
    if not apply and lock is None:
        return _show(folder, report, options, choice, as_json=as_json)
    return _write(folder, report, options, choice if apply else None, lock=lock, as_json=as_json)


def _refuse(*, show_diff: bool, apply: bool, lock: Path | None, offline: bool) -> None:
    if show_diff and (apply or lock is not None):
        raise click.UsageError(
            f"{'--apply' if apply else '--lock'} writes and --diff does not: give one of them"
        )
    if lock is None:
        return
    if offline:
        raise click.UsageError("--lock asks the package index, which --offline forbids")
    from seatrial.checking import locking

    locking.refuse(lock)


def _write(
    folder: Path, report: Report, options: Options, choice: Choice | None, *, lock: Path | None, as_json: bool
) -> int:
    """Apply, then lock, where each is wished; what was applied is said even when there can be no lock."""
    answer: dict[str, Any] = {}
    if choice is not None:
        done = _apply(folder, report, options, choice, quiet=as_json)
        report = done.report
        answer = {"applied": done.applied, "changed": done.changed}
        if not as_json:
            print_report(report, "text", unsafe="")
    answer["findings"] = report.findings
    try:
        if lock is not None:
            answer |= _lock(folder, lock, options, quiet=as_json)
    finally:
        if as_json and (choice is not None or "lock" in answer):
            print_json(answer)
    if not as_json:
        hint(report, "diff")
    return ANSWER_IS_NO if report.summary.error else DONE


def _show(folder: Path, report: Report, options: Options, choice: Choice, *, as_json: bool) -> int:
    from seatrial.checking.fixing import preview
    from seatrial.reports.text import render_diff, wants_colour
    from seatrial.sources.edits import diff

    done, pairs = preview([folder], report, options, choice)
    if as_json:
        text = "".join(diff(before, after) for before, after in pairs)
        print_json({"would_apply": done.applied, "diff": text, "findings": report.findings})
    else:
        sys.stdout.write(render_diff(pairs, colour=wants_colour(sys.stdout)))
        for title in dict.fromkeys(done.applied):
            note(f"would fix: {title}")
        note(f"{counted(len(pairs), 'file')} would change{'; --apply writes' if pairs else ''}")
        hint(report, "diff")
    return ANSWER_IS_NO if report.summary.error else DONE


def _apply(folder: Path, report: Report, options: Options, choice: Choice, *, quiet: bool) -> Fixed:
    from seatrial.checking.fixing import fix as repair

    done = repair([folder], report, options, choice)
    if not quiet:
        for title in dict.fromkeys(done.applied):
            note(f"fixed: {title}")
        if done.changed:
            prefix = prefix_of(done.report.root)
            note(f"changed: {', '.join(prefix + path for path in done.changed)}")
    return done


def _lock(folder: Path, file: Path, options: Options, *, quiet: bool) -> dict[str, Any]:
    from seatrial.checking.locking import lock

    written = lock(folder, file, options.target)
    if not quiet:
        for line in written.notes:
            note(line)
        note(f"{file}: {counted(len(written.packages), 'package')} pinned")
    return {"lock": file, "packages": written.packages, "notes": written.notes}
