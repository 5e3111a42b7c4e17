"""`seatrial build reports`: test results and coverage, of a build or of files, and how they went over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.builds.test_reports import Point, Report


@click.command(epilog="Example: seatrial build reports latest --html reports.html")
@click.argument("what", metavar="[RUN | FILE...]", nargs=-1)
@click.option(
    "--format",
    "file_format",
    metavar="FORMAT",
    help="Read FILEs of this file-format, as JUNITXML or COBERTURAXML.",
)
@click.option("--group", default="", metavar="NAME", help="Only this report group.")
@click.option("--trend", is_flag=True, help="Show the reports of earlier builds of the same project as well.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="PAGE", help="Write a page instead."
)
@json_option
@directory_option
def reports(
    what: tuple[str, ...], file_format: str | None, group: str, trend: bool, html: Path | None, as_json: bool
) -> None:
    """Show the test and coverage reports of RUN (default: the latest build), or of report FILEs.

    Exit code 1: a report is not SUCCEEDED.
    """  # fmt: skip
    from seatrial.builds import test_reports
    from seatrial.builds.test_reports import html as pages
    from seatrial.builds.test_reports import trends
    from seatrial.errors import UsageError
    from seatrial.files import write_atomic

    points: list[Point] = []
    if file_format is not None:
        if trend:
            raise UsageError("--trend is about builds, and FILEs are of none")
        found, summary = [_of_files(what, file_format, group)], ""
    else:
        found, points, summary = _of_run(what, group, trend)
    if html is not None:
        write_atomic(html, pages.page(found, points, summary=summary))
        note(f"wrote {html}")
    if as_json:
        shown: dict[str, Any] = {"reports": [test_reports.data(one) for one in found]}
        print_json({**shown, "trend": [one._asdict() for one in points]} if trend else shown)
    elif html is None:
        click.echo(test_reports.text(found) + (f"\n{trends.text(points)}" if points else ""), nl=False)
    if any(one.status != "SUCCEEDED" for one in found):
        raise SystemExit(1)


def _of_files(files: tuple[str, ...], file_format: str, group: str) -> Report:
    from seatrial.builds import test_reports
    from seatrial.errors import UsageError

    form = file_format.upper()
    if form not in test_reports.FORMATS:
        raise UsageError(
            f"{file_format} is not a file format of reports",
            fix=f"use one of {', '.join(test_reports.FORMATS)}",
        )
    if not files:
        raise UsageError("no FILE is named", fix=f"seatrial build reports --format {form} FILE")
    for file in files:
        if not Path(file).is_file():
            raise UsageError("there is no such file", where=file)
    return test_reports.read_files(group or "files", form, [Path(file) for file in files], root=Path.cwd())


def _of_run(what: tuple[str, ...], group: str, trend: bool) -> tuple[list[Report], list[Point], str]:
    from seatrial.builds import test_reports
    from seatrial.builds.history import earlier, find, journal
    from seatrial.errors import UsageError

    if len(what) > 1:
        raise UsageError("give one RUN, or FILEs with --format", fix="--format JUNITXML reads files")
    opened = journal()
    run = find(opened, what[0] if what else "")
    held = [one for one in run["outputs"]["reports"] if group in ("", one["name"])]
    if not held:
        wanted = f"report group {group!r}" if group else "reports"
        names = ", ".join(one["name"] for one in run["outputs"]["reports"])
        fix = f"it has {names}" if names else "`reports:` in the buildspec names the files that tests write"
        raise UsageError(f"run {run['id']} has no {wanted}", fix=fix)
    points = []
    if trend:
        points = [
            one for one in test_reports.trend(earlier(opened, run, include=True)) if group in ("", one.report)
        ]
    return [_whole(one) for one in held], points, f"build {run['name']}, run {run['id']}"


def _whole(held: dict[str, Any]) -> Report:
    """The report as it was kept; of a large one the run has the sums only, and its file the rest."""
    import msgspec

    from seatrial.builds import test_reports

    try:
        return test_reports.from_data(msgspec.json.decode(Path(held["file"]).read_bytes()))
    except (KeyError, OSError, msgspec.MsgspecError):
        return test_reports.from_data(held)
