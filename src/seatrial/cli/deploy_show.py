"""`seatrial deploy show`: one deployment, with its hosts, their events and times."""

from __future__ import annotations

import sys

import click

from seatrial.cli.common import directory_option, json_option, note, print_json


@click.command(epilog="Example: seatrial deploy show latest")
@click.argument("deployment", default="latest")
@json_option
@directory_option
def show(deployment: str, as_json: bool) -> None:
    """Show a deployment: its hosts, their lifecycle events with times, errors and rollback.

    DEPLOYMENT is an id, a unique part of one, or `latest`.
    """
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, shown
    from seatrial.engine.journal import Journal

    journal = Journal(paths.home())
    found = deployments.find(journal.home, deployment)
    found = deployments.settle(journal, journal.home, found, SystemClock().now())
    data = shown.data(journal.home, found)
    if as_json:
        print_json(data)
        return
    sys.stdout.write(shown.text(data))
    if found.status not in deployments.ENDED and found.run and not deployments.in_charge(journal, found):
        note(
            f"it was cut off: `seatrial runs resume {found.run}` goes on, `seatrial deploy stop {found.id}` ends it"
        )
