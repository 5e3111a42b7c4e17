"""`seatrial deploy list`: deployments, newest first."""

from __future__ import annotations

import sys

import click

from seatrial.cli.common import directory_option, json_option, note, print_json


@click.command("list", epilog="Example: seatrial deploy list --group web/production")
@click.option(
    "--group", "group_name", default="", metavar="APPLICATION/GROUP", help="Only those of this group."
)
@click.option(
    "--status",
    type=click.Choice(["Created", "InProgress", "Baking", "Succeeded", "Failed", "Stopped"]),
    help="Only these.",
)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@directory_option
def list_deployments(group_name: str, status: str | None, limit: int, as_json: bool) -> None:
    """List deployments, newest first."""
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, groups, shown
    from seatrial.engine.journal import Journal

    journal = Journal(paths.home())
    home = journal.home
    found = (
        deployments.of_group(home, groups.load(home, group_name)) if group_name else deployments.every(home)
    )
    now = SystemClock().now()
    current = (deployments.settle(journal, home, one, now) for one in found)
    chosen = [one for one in current if status in (None, one.status)][:limit]
    if as_json:
        print_json([shown.data(home, one, whole=False) for one in chosen])
    elif not chosen:
        note("there are no such deployments")
    else:
        sys.stdout.write("".join(f"{shown.line(one)}\n" for one in chosen))
