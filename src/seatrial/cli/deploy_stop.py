"""`seatrial deploy stop`: end a deployment."""

from __future__ import annotations

import sys

import click

from seatrial.cli.common import directory_option, json_option, print_json


@click.command(epilog="Example: seatrial deploy stop latest --rollback")
@click.argument("deployment", default="latest")
@click.option(
    "--rollback/--no-rollback",
    default=None,
    help="Deploy the last good revision then. Default: as the group says.",
)
@json_option
@directory_option
def stop(deployment: str, rollback: bool | None, as_json: bool) -> None:
    """Stop a deployment, also when the process in charge of it is gone.

    Hosts that are being deployed to end their script; hosts whose turn has not come are skipped.
    """
    import msgspec

    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, records, shown
    from seatrial.engine.journal import Journal
    from seatrial.engine.run import cancel
    from seatrial.errors import SeatrialError

    journal = Journal(paths.home())
    home = journal.home
    found = deployments.settle(journal, home, deployments.find(home, deployment), SystemClock().now())
    with records.changing(home):
        found = deployments.load(home, found.id)
        if found.status in deployments.ENDED:
            raise SeatrialError(
                f"The deployment {found.id} has already completed: {found.status}",
                fix=f"`seatrial deploy rollback {found.application}/{found.group}` deploys what was good before it",
            )
        if not found.run:
            raise SeatrialError(f"The deployment {found.id} has not started yet", fix="ask again in a moment")
        deployments.save(home, msgspec.structs.replace(found, stop=True, stop_rollback=rollback))
    cancel(home, found.run)
    found = deployments.load(home, found.id)
    data = shown.data(home, found)
    if as_json:
        print_json(data)
    else:
        sys.stdout.write(f"{found.id}: {found.status}\n")
        if found.rollback_message:
            sys.stdout.write(f"{found.rollback_message}\n")
