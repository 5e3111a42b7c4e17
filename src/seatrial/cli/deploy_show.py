"""`seatrial deploy show`: one deployment: its hosts with their events, or its services with their traffic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from seatrial.deployments.deployments import Deployment
    from seatrial.engine.journal import Journal
    from seatrial.services.records import ServiceDeployment

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: seatrial deploy show latest --svg deployment.svg")
@click.argument("deployment", default="latest", metavar="[ID|latest|SERVICE]")
@click.option("--svg", type=_FILE, metavar="FILE", help="Write a picture of a service's deployment.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with the picture and all events.")
@json_option
@directory_option
def show(deployment: str, svg: Path | None, html: Path | None, as_json: bool) -> None:
    """Show a deployment: the events of its hosts; or each version's traffic, what decided, and what happened.

    DEPLOYMENT is an id, a unique part of one, `latest`, or a service, whose latest one is meant.
    """
    from seatrial import paths
    from seatrial.engine.journal import Journal
    from seatrial.services import kinds

    journal = Journal(paths.home())
    found = kinds.find(journal.home, deployment)
    if isinstance(found, kinds.ServiceDeployment):
        _of_services(journal, found, svg, html, as_json=as_json)
        return
    if svg or html:
        raise UsageError(
            f"{found.id} is a deployment to hosts", why="pictures are of deployments of services",
            fix=f"`seatrial runs timeline {found.run or 'RUN'}` shows when what happened",
        )  # fmt: skip
    _to_hosts(journal, found, as_json=as_json)


def _to_hosts(journal: Journal, found: Deployment, *, as_json: bool) -> None:
    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, shown

    found = deployments.settle(journal, journal.home, found, SystemClock().now())
    data = shown.data(journal.home, found)
    if as_json:
        print_json(data)
        return
    sys.stdout.write(shown.text(data))
    if found.status not in deployments.ENDED and found.run and not deployments.in_charge(journal, found):
        _cut_off(found)


def _of_services(
    journal: Journal, found: ServiceDeployment, svg: Path | None, html: Path | None, *, as_json: bool
) -> None:
    from seatrial.clock import SystemClock
    from seatrial.files import write_atomic
    from seatrial.services import drawing, page, records, shown

    now = SystemClock().now()
    found = records.settle(journal, found, now)
    if as_json:
        print_json(shown.data(journal, found, now=now))
    events = records.events(journal.home, found.id)
    picture = shown.picture(journal, found, now)
    if svg is not None:
        write_atomic(svg, drawing.svg(picture))
        note(f"wrote {svg}")
    if html is not None:
        write_atomic(html, page.html(found, picture, events))
        note(f"wrote {html}")
    if not as_json and svg is None and html is None:
        sys.stdout.write(shown.text(found, picture, events))
        if found.ended is None and found.run and not records.in_charge(journal, found):
            _cut_off(found)


def _cut_off(found: Deployment | ServiceDeployment) -> None:
    note(
        f"it was cut off: `seatrial runs resume {found.run}` goes on, `seatrial deploy stop {found.id}` ends it"
    )
