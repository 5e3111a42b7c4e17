"""`seatrial check`: what is wrong in a repository, and the edits that put it right."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note
from seatrial.errors import ANSWER_IS_NO, DONE, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.run import Options, Report

TARGET_KEYS = ("python", "platform", "gpu", "driver", "glibc", "cuda")


def _target(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
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


@click.command(epilog="Example: seatrial check . --fix")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--fix", "apply", is_flag=True, help="Apply safe fixes, then report what is left.")
@click.option("--unsafe", is_flag=True, help="With --fix or --diff: also fixes that can change behaviour.")
@click.option("--diff", "show_diff", is_flag=True, help="Print what --fix would change, and write nothing.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "junit"]),
    help="How to print findings.  [default: text]",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Report only findings that FILE does not know.",
)
@click.option(
    "--write-baseline", is_flag=True, help="Write every finding to the baseline file and report none."
)
@click.option(
    "--target",
    multiple=True,
    callback=_target,
    metavar="KEY=VALUE,...",
    help=f"What images are made for: {', '.join(TARGET_KEYS)}.",
)
@click.option("--no-ignore", is_flag=True, help="Look at files that git ignores, too.")
@json_option
@directory_option
def check(
    paths: tuple[Path, ...],
    *,
    apply: bool,
    unsafe: bool,
    show_diff: bool,
    form: str | None,
    baseline: Path | None,
    write_baseline: bool,
    target: dict[str, str],
    no_ignore: bool,
    as_json: bool,
) -> int:
    """Find what is wrong in repositories and files, and fix it.

    Looks at buildspecs, appspecs, pipelines, Dockerfiles, requirements, manifests, Packer, Ansible, cloud-init,
    CloudFormation, Terraform, workflows and seatrial.yaml, recognised by what they say. Exits with 1 when there
    are errors; warnings and notes alone are 0.
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    form = "json" if as_json else form or "text"
    _refuse(apply=apply, unsafe=unsafe, show_diff=show_diff, form=form, write_baseline=write_baseline)
    from seatrial.checking import run

    wanted = paths or (Path(),)
    options = run.Options(
        target=target, use_ignore=not no_ignore, baseline=baseline, use_baseline=not write_baseline
    )
    report = run.check(wanted, options)
    if write_baseline:
        file = baseline or _configured_baseline(report.root) or report.root / "seatrial-baseline.json"
        return _write_baseline(file, report)
    if show_diff:
        _print_diff(report, unsafe=unsafe)
    else:
        if apply:
            report = _fix(wanted, report, options, unsafe=unsafe)
        _print(report, form)
        _hint(report, form)
    return ANSWER_IS_NO if report.summary.error else DONE


def _refuse(*, apply: bool, unsafe: bool, show_diff: bool, form: str, write_baseline: bool) -> None:
    if unsafe and not (apply or show_diff):
        raise click.UsageError("--unsafe needs --fix or --diff")
    if apply and show_diff:
        raise click.UsageError("--fix writes and --diff does not: give one of them")
    if show_diff and form != "text":
        raise click.UsageError(f"--diff prints a diff, not {form}")
    if write_baseline and (apply or show_diff):
        raise click.UsageError("--write-baseline cannot be given together with --fix or --diff")


def _configured_baseline(root: Path) -> Path | None:
    from seatrial.checking.settings import settings

    return settings(root).baseline


def _write_baseline(file: Path, report: Report) -> int:
    from seatrial.checking import baseline

    if not file.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(file.parent))
    baseline.write(file, report.findings, report.sources)
    note(f"{file}: {_counted(len(report.findings), 'finding')} known from now on")
    return DONE


def _fix(paths: Sequence[Path], report: Report, options: Options, *, unsafe: bool) -> Report:
    from seatrial.checking.fixing import fix

    fixed = fix(paths, report, options, unsafe=unsafe)
    for title in dict.fromkeys(fixed.applied):
        note(f"fixed: {title}")
    if fixed.changed:
        prefix = _prefix(report.root)
        note(f"changed: {', '.join(prefix + path for path in fixed.changed)}")
    return fixed.report


def _print_diff(report: Report, *, unsafe: bool) -> None:
    from seatrial.checking.fixing import changes
    from seatrial.reports.text import render_diff, wants_colour

    pairs = changes(report, unsafe=unsafe)
    sys.stdout.write(render_diff(pairs, colour=wants_colour(sys.stdout)))
    note(f"{_counted(len(pairs), 'file')} would change")


def _print(report: Report, form: str) -> None:
    if form == "text":
        from seatrial.reports import text

        colour = text.wants_colour(sys.stdout)
        sys.stdout.write(
            text.render(report.findings, report.sources, colour=colour, prefix=_prefix(report.root))
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


def _hint(report: Report, form: str) -> None:
    """The last line, on stderr: how much was looked at, what was found, what was hidden, what to do next."""
    summary = report.summary
    counts = [
        _counted(number, word)
        for number, word in ((summary.error, "error"), (summary.warning, "warning"), (summary.note, "note"))
        if number
    ]
    found = ", ".join(counts) or "nothing found"
    hidden = f", {report.hidden} known from the baseline hidden" if report.hidden else ""
    note(f"{_counted(len(report.checked), 'file')} checked: {found}{hidden}")
    fixable = sum(1 for one in report.findings if one.fix is not None and one.fix.safe)
    if fixable and form == "text":
        note(f"{_counted(fixable, 'finding')} can be fixed with --fix")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _prefix(root: Path) -> str:
    relative = Path(os.path.relpath(root)).as_posix()
    return "" if relative == "." else f"{relative}/"
