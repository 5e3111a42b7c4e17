"""`seatrial check`: what is wrong in a repository, and the edits that put it right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note
from seatrial.cli.findings import (
    apply_fixes,
    check_options,
    chosen_form,
    fix_options,
    format_option,
    hint,
    print_diff,
    print_report,
    target_option,
)
from seatrial.errors import ANSWER_IS_NO, DONE, UsageError
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from seatrial.checking.run import Report


@click.command(epilog="Example: seatrial check . --fix")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@fix_options
@format_option
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Report only findings that FILE does not know.",
)
@click.option(
    "--write-baseline", is_flag=True, help="Write every finding to the baseline file and report none."
)
@target_option("What images are made for: {keys}.")
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
    form = chosen_form(form, as_json=as_json)
    check_options(apply=apply, unsafe=unsafe, show_diff=show_diff, form=form)
    if write_baseline and (apply or show_diff):
        raise click.UsageError("--write-baseline cannot be given together with --fix or --diff")
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
        print_diff(report, unsafe=unsafe)
    else:
        if apply:
            report = apply_fixes(wanted, report, options, unsafe=unsafe)
        print_report(report, form)
        hint(report, form)
    return ANSWER_IS_NO if report.summary.error else DONE


def _configured_baseline(root: Path) -> Path | None:
    from seatrial.checking.settings import settings

    return settings(root).baseline


def _write_baseline(file: Path, report: Report) -> int:
    from seatrial.checking import baseline

    if not file.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(file.parent))
    baseline.write(file, report.findings, report.sources)
    note(f"{file}: {counted(len(report.findings), 'finding')} known from now on")
    return DONE
