"""Findings on the terminal: what every command that checks prints, hints and fixes alike."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial.cli.common import note
from seatrial.errors import UsageError
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.checking.run import Options, Report

F = TypeVar("F", bound="Callable[..., Any]")
TARGET_KEYS = ("python", "platform", "gpu", "driver", "glibc", "cuda")


def read_target(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    target: dict[str, str] = {}
    for part in ",".join(given).split(",") if given else []:
        key, equals, value = part.strip().partition("=")
        if key not in TARGET_KEYS or not equals or not value:
            raise click.BadParameter(
                f"{part.strip()!r} is not KEY=VALUE with a key of {', '.join(TARGET_KEYS)}"
            )
        target[key] = value
    python = target.get("python", "3.11")
    if not all(piece.isdigit() for piece in python.split(".")) or python.count(".") not in (1, 2):
        raise click.BadParameter(f"python={python} is not a version such as 3.11")
    return target


def fix_options(function: F) -> F:
    """`--fix`, `--unsafe` and `--diff` (parameters `apply`, `unsafe`, `show_diff`)."""
    for option in (
        click.option("--diff", "show_diff", is_flag=True, help="Print what --fix would change, and write nothing."),
        click.option("--unsafe", is_flag=True, help="With --fix or --diff: also fixes that can change behaviour."),
        click.option("--fix", "apply", is_flag=True, help="Apply safe fixes, then report what is left."),
    ):  # fmt: skip
        function = option(function)
    return function


def format_option(function: F) -> F:
    """`--format` (parameter `form`, None where it is not given)."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "sarif", "junit"]),
        help="How to print findings.  [default: text]",
    )(function)


def chosen_form(form: str | None, *, as_json: bool) -> str:
    """The format that `--format` and `--json` ask for together."""
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    return "json" if as_json else form or "text"


def check_options(*, apply: bool, unsafe: bool, show_diff: bool, form: str) -> None:
    """Refuse options of fixing that contradict each other."""
    if unsafe and not (apply or show_diff):
        raise click.UsageError("--unsafe needs --fix or --diff")
    if apply and show_diff:
        raise click.UsageError("--fix writes and --diff does not: give one of them")
    if show_diff and form != "text":
        raise click.UsageError(f"--diff prints a diff, not {form}")


def apply_fixes(paths: Sequence[Path], report: Report, options: Options, *, unsafe: bool) -> Report:
    """Write fixes into the files, say which, and return what is left."""
    from seatrial.checking.fixing import Choice, fix

    fixed = fix(paths, report, options, Choice(unsafe=unsafe))
    for title in dict.fromkeys(fixed.applied):
        note(f"fixed: {title}")
    if fixed.changed:
        prefix = prefix_of(report.root)
        note(f"changed: {', '.join(prefix + path for path in fixed.changed)}")
    return fixed.report


def target_option(words: str) -> Callable[[F], F]:
    """`--target`, with `words` for what it is the target of; the keys are the same everywhere."""
    return click.option(
        "--target",
        multiple=True,
        callback=read_target,
        metavar="KEY=VALUE,...",
        help=words.format(keys=", ".join(TARGET_KEYS)),
    )


def print_diff(report: Report, *, unsafe: bool) -> None:
    from seatrial.checking.fixing import Choice, changes
    from seatrial.reports.text import render_diff, wants_colour

    pairs = changes(report, Choice(unsafe=unsafe))
    sys.stdout.write(render_diff(pairs, colour=wants_colour(sys.stdout)))
    note(f"{counted(len(pairs), 'file')} would change")


def print_report(report: Report, form: str, *, unsafe: str = "--fix --unsafe applies it") -> None:
    """Findings in one of the forms; `unsafe` says how a fix that may change behaviour is applied."""
    if form == "text":
        from seatrial.reports import text

        colour = text.wants_colour(sys.stdout)
        sys.stdout.write(
            text.render(
                report.findings, report.sources, colour=colour, prefix=prefix_of(report.root), unsafe=unsafe
            )
        )
        return
    checked = [(one.path, one.kind) for one in report.checked]
    if form == "junit":
        from seatrial.reports import junit

        sys.stdout.write(junit.render(report.findings, checked))
    elif form == "sarif":
        from seatrial import __version__
        from seatrial.checking import baseline, registry
        from seatrial.reports import sarif

        marks = baseline.fingerprints(report.findings, report.sources)
        sys.stdout.write(sarif.render(report.findings, registry.rules(), marks, version=__version__))
    else:
        from seatrial.reports import json

        summary = report.summary
        counts = {"error": summary.error, "warning": summary.warning, "note": summary.note}
        sys.stdout.write(json.render(report.findings, checked, counts))


def hint(report: Report, form: str, *, command: str = "") -> None:
    """The last line, on stderr: how much was looked at, what was found, what was hidden, what to do next.

    `command` is what applies fixes, where that is not the option `--fix`, which takes the safe ones alone.
    """
    summary = report.summary
    counts = [
        counted(number, word)
        for number, word in ((summary.error, "error"), (summary.warning, "warning"), (summary.note, "note"))
        if number
    ]
    found = ", ".join(counts) or "nothing found"
    hidden = f", {report.hidden} known from the baseline hidden" if report.hidden else ""
    note(f"{counted(len(report.checked), 'file')} checked: {found}{hidden}")
    fixable = sum(1 for one in report.findings if one.fix is not None and (one.fix.safe or command))
    if fixable and form == "text":
        note(f"{counted(fixable, 'finding')} can be fixed with {command or '--fix'}")


def need_files(report: Report, folder: Path) -> None:
    """Refuse to say anything about a folder where there is nothing to look at.

    Raises:
        UsageError: no file was recognised.
    """
    if not report.checked:
        raise UsageError(
            "there is nothing here that makes an image",
            where=str(folder),
            why="looked for a Dockerfile, requirement and constraint files, pyproject.toml and environment.yml, "
            "also in folders below, where git does not ignore them",
            fix="give the folder that has them",
        )


def prefix_of(root: Path) -> str:
    relative = Path(os.path.relpath(root)).as_posix()
    return "" if relative == "." else f"{relative}/"
