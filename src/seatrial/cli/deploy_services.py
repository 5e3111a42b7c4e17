"""`seatrial deploy services|down`: what stands on this machine, and how to end it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.errors import ANSWER_IS_NO, DONE

if TYPE_CHECKING:
    from seatrial.engine.journal import Journal


@click.command(epilog="Example: seatrial deploy services iris")
@click.argument("names", nargs=-1, metavar="[SERVICE]…")
@json_option
@directory_option
def services(names: tuple[str, ...], as_json: bool) -> None:
    """Show the services of this machine: addresses, versions, shares of the traffic, instances and their health."""
    from seatrial import paths
    from seatrial.services import standing, written

    home = paths.home()
    found = [standing.data(home, name) for name in names or written.names(home)]
    if as_json:
        print_json(found)
    elif not found:
        note("there are no services; `seatrial deploy run DIR` starts those of a project")
    else:
        sys.stdout.write(standing.text(found))


@click.command(epilog="Example: seatrial deploy down iris")
@click.argument("names", nargs=-1, metavar="[SERVICE]…")
@click.option("--all", "everything", is_flag=True, help="End all services of this machine.")
@json_option
@directory_option
def down(names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """End services: what is in flight is answered, then instances and load balancer are stopped.

    Deployments and their pictures stay. A service that is being deployed is not ended; stop its deployment first.
    """
    from seatrial import paths
    from seatrial.engine.journal import Journal
    from seatrial.errors import SeatrialError, UsageError
    from seatrial.services import target, written

    if bool(names) == everything:
        raise UsageError(
            "say which services to end: SERVICE, or --all", fix="`seatrial deploy services` lists them"
        )
    journal = Journal(paths.home())
    home = journal.home
    chosen = written.names(home) if everything else list(dict.fromkeys(names))
    for name in chosen:
        written.wanted(home, name)
        _check_idle(journal, name)
    failed: dict[str, str] = {}
    for name in chosen:
        try:
            target.down(home, name)
        except SeatrialError as error:
            failed[name] = str(error)
            note(f"error: {error}")
        else:
            note(f"{name} is down")
    if as_json:
        print_json({"down": [name for name in chosen if name not in failed], "failed": failed})
    return ANSWER_IS_NO if failed else DONE


def _check_idle(journal: Journal, name: str) -> None:
    """Refuse while a deployment of the service goes on.

    Raises:
        UsageError: there is one.
    """
    from seatrial.clock import SystemClock
    from seatrial.deployments.deployments import ENDED
    from seatrial.errors import UsageError
    from seatrial.services import records

    active = records.active(journal.home, name)
    if active and records.settle(journal, active, SystemClock().now()).status not in ENDED:
        raise UsageError(
            f"{name} is being deployed by {active.id}",
            fix=f"`seatrial deploy stop {active.id}` ends that first",
        )
