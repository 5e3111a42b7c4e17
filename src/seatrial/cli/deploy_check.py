"""`seatrial deploy check`: what is wrong in an application specification."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option
from seatrial.cli.findings import (
    apply_fixes,
    check_options,
    chosen_form,
    fix_options,
    format_option,
    hint,
    print_diff,
    print_report,
)
from seatrial.errors import ANSWER_IS_NO, DONE, UsageError

if TYPE_CHECKING:
    from typing import Literal


_NAMES = ("appspec.yml", "appspec.yaml", "appspec.json")


@click.command(epilog="Example: seatrial deploy check appspec.yml --platform server")
@click.argument("file", type=click.Path(path_type=Path), default=".", metavar="[FILE]")
@click.option(
    "--platform",
    type=click.Choice(["server", "lambda", "ecs"]),
    help="What the file is for; server is a host with Linux.  [default: by what the file says]",
)
@fix_options
@format_option
@json_option
@directory_option
def check(
    file: Path,
    *,
    platform: Literal["server", "lambda", "ecs"] | None,
    apply: bool,
    unsafe: bool,
    show_diff: bool,
    form: str | None,
    as_json: bool,
) -> int:
    """Find what is wrong in an application specification (appspec.yml) of CodeDeploy, and fix it.

    FILE is taken for an application specification whatever its name; of a folder, its appspec.yml. What AWS refuses is
    an error with AWS's own words. Scripts and sources are looked for where the file lies. Exits with 1 when there are
    errors; warnings and notes alone are 0.
    """
    form = chosen_form(form, as_json=as_json)
    check_options(apply=apply, unsafe=unsafe, show_diff=show_diff, form=form)
    from seatrial.checking import run
    from seatrial.checking.subject import Appspecs

    path = _file(file)
    options = run.Options(appspecs=Appspecs(platform=platform, named=True), use_ignore=False)
    report = run.check([path], options)
    if show_diff:
        print_diff(report, unsafe=unsafe)
    else:
        if apply:
            report = apply_fixes([path], report, options, unsafe=unsafe)
        print_report(report, form)
        hint(report, form)
    return ANSWER_IS_NO if report.summary.error else DONE


def _file(path: Path) -> Path:
    """The file itself, or the one that an agent would find in a folder."""
    if not path.is_dir():
        if not path.exists():
            raise UsageError("there is no such file", where=str(path))
        return path
    found = next((path / name for name in _NAMES if (path / name).is_file()), None)
    if found is None:
        raise UsageError(
            "there is no appspec.yml in this folder",
            where=str(path),
            fix="give the file that CodeDeploy is to read",
        )
    return found
