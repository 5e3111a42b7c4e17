"""`seatrial image check`: dependency conflicts before the build."""

from __future__ import annotations

from pathlib import Path

import click

from seatrial.cli.common import directory_option, json_option
from seatrial.cli.findings import format_option, hint, need_files, print_report, target_option
from seatrial.errors import ANSWER_IS_NO, DONE


@click.command(epilog="Example: seatrial image check . --target gpu=h100,driver=535.104.05")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
@target_option("What the image runs on: {keys}. gpu takes names and AWS instance types.")
@click.option("--offline", is_flag=True, help="Do not resolve: judge from the files and the facts alone.")
@click.option("--refresh", is_flag=True, help="Ask the index again instead of using answers of the last day.")
@format_option
@json_option
@directory_option
def check(
    folder: Path,
    *,
    target: dict[str, str],
    offline: bool,
    refresh: bool,
    form: str | None,
    as_json: bool,
) -> int:
    """Find dependency conflicts in a Dockerfile and its dependency files, before building.

    Reads Dockerfiles, requirement and constraint files, pyproject.toml, lock files and conda environments in DIR,
    follows what is installed on top of the base image, and asks the package index which versions that gives. No code of
    the project is run. Exits with 1 when there are errors; warnings and notes alone are 0.
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    if offline and refresh:
        raise click.UsageError("--offline asks nobody, so --refresh cannot be given with it")
    form = "json" if as_json else form or "text"
    from seatrial.checking import run

    report = run.check([folder], run.image_options(target, offline=offline, refresh=refresh))
    need_files(report, folder)
    print_report(report, form, unsafe="")
    hint(report, form, command="`seatrial image fix`")
    return ANSWER_IS_NO if report.summary.error else DONE
