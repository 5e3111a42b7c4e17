"""`seatrial build timeline`: when each phase of a build ran, as a table, data, picture or page."""

from __future__ import annotations

from pathlib import Path

import click

from seatrial.cli.common import directory_option, json_option, note, print_json


@click.command(epilog="Example: seatrial build timeline latest --svg build.svg")
@click.argument("run", required=False, default="")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a picture."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page with the picture and all commands.",
)
@json_option
@directory_option
def timeline(run: str, svg: Path | None, html: Path | None, as_json: bool) -> None:
    """Show when each phase of RUN (default: the latest build) ran, and what took longest.

    For a build that runs, earlier builds of its project say how long it will still take.
    """  # fmt: skip
    from seatrial.builds import timeline as timelines
    from seatrial.builds import timeline_picture
    from seatrial.builds.history import earlier, find, journal
    from seatrial.clock import SystemClock
    from seatrial.files import write_atomic

    opened = journal()
    found = find(opened, run)
    running = found["ended"] is None
    before = earlier(opened, found) if running else []
    shown = timelines.data(found, earlier=before, now=SystemClock().now())
    for path, make in ((svg, timeline_picture.svg), (html, timeline_picture.html)):
        if path is not None:
            write_atomic(path, make(shown))
            note(f"wrote {path}")
    if as_json:
        print_json(shown)
    elif svg is None and html is None:
        click.echo(timelines.text(shown), nl=False)
