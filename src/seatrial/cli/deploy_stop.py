"""`seatrial deploy stop`: end a deployment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, print_json
from seatrial.errors import DONE, UsageError

if TYPE_CHECKING:
    from seatrial.deployments.deployments import Deployment
    from seatrial.engine.journal import Journal


@click.command(epilog="Example: seatrial deploy stop latest --rollback")
@click.argument("deployment", default="latest", metavar="[ID|latest|SERVICE]")
@click.option(
    "--rollback/--no-rollback",
    default=None,
    help="For hosts: deploy the last good revision then. Default: as the group says.",
)
@json_option
@directory_option
def stop(deployment: str, rollback: bool | None, as_json: bool) -> int:
    """Stop a deployment, also when the process in charge of it is gone.

    Of services, the version before has all the traffic again. Hosts that are being deployed to end their script; hosts
    whose turn has not come are skipped.
    """
    from seatrial import paths
    from seatrial.cli import deploying
    from seatrial.engine.journal import Journal
    from seatrial.services import kinds, starting

    journal = Journal(paths.home())
    found = kinds.find(journal.home, deployment)
    if not isinstance(found, kinds.ServiceDeployment):
        return _to_hosts(journal, found, rollback, as_json=as_json)
    if rollback is False:
        raise UsageError(
            f"{found.id} is of services, and a service that is half deployed is not left like that",
            fix=f"`seatrial deploy hold {found.id}` leaves the split as it is, `promote` goes to its end",
        )
    return deploying.ended(journal, starting.stop(journal, found.id).id, as_json=as_json)


def _to_hosts(journal: Journal, found: Deployment, rollback: bool | None, *, as_json: bool) -> int:
    import msgspec

    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, records, shown
    from seatrial.engine.run import cancel
    from seatrial.errors import SeatrialError

    home = journal.home
    found = deployments.settle(journal, home, found, SystemClock().now())
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
    return DONE
