"""`seatrial deploy list`: deployments, newest first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.deployments.deployments import Deployment
    from seatrial.engine.journal import Journal
    from seatrial.services.records import ServiceDeployment


@click.command("list", epilog="Example: seatrial deploy list --service iris --status Failed")
@click.option(
    "--group", "group_name", default="", metavar="APPLICATION/GROUP", help="Only those of this group."
)
@click.option("--service", default="", metavar="NAME", help="Only those of this service.")
@click.option(
    "--status",
    type=click.Choice(["Created", "InProgress", "Baking", "Succeeded", "Failed", "Stopped"]),
    help="Only these.",
)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@directory_option
def list_deployments(group_name: str, service: str, status: str | None, limit: int, as_json: bool) -> None:
    """List deployments, to groups of hosts and of services, newest first."""
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import deployments, shown
    from seatrial.engine.journal import Journal
    from seatrial.services import records
    from seatrial.services import shown as services

    journal = Journal(paths.home())
    now = SystemClock().now()
    current = (
        records.settle(journal, one, now)
        if isinstance(one, records.ServiceDeployment)
        else deployments.settle(journal, journal.home, one, now)
        for one in _chosen(journal, group_name, service)
    )
    chosen = [one for one in current if status in (None, one.status)][:limit]
    if as_json:
        print_json(
            [
                services.data(journal, one, whole=False)
                if isinstance(one, records.ServiceDeployment)
                else {"kind": "group", **shown.data(journal.home, one, whole=False)}
                for one in chosen
            ]
        )
    elif not chosen:
        note("there are no such deployments")
    else:
        lines = (
            services.line(one) if isinstance(one, records.ServiceDeployment) else shown.line(one)
            for one in chosen
        )
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def _chosen(journal: Journal, group_name: str, service: str) -> list[Deployment | ServiceDeployment]:
    from seatrial.deployments import deployments, groups
    from seatrial.errors import UsageError
    from seatrial.services import kinds, records

    if group_name and service:
        raise UsageError("a deployment is to a group or of services", fix="give --group or --service")
    if group_name:
        return [*deployments.of_group(journal.home, groups.load(journal.home, group_name))]
    if service:
        return [*records.of_service(journal.home, service)]
    return kinds.every(journal.home)
