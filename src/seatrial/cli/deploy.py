"""`seatrial deploy`: the table of its commands."""

from __future__ import annotations

from typing import ClassVar

import click

from seatrial.cli.root import LazyGroup


class DeployGroup(LazyGroup):
    """Commands about deployments, imported when they run."""

    table: ClassVar[dict[str, tuple[str, str, str]]] = {
        "check": ("seatrial.cli.deploy_check", "check", "Find what is wrong in an appspec, and fix it."),
        "agent": (
            "seatrial.cli.deploy_agent",
            "agent",
            "Deploy a bundle on this host as CodeDeploy's agent would.",
        ),
        "run": ("seatrial.cli.deploy_run", "run", "Deploy a revision to the hosts of a group."),
        "show": ("seatrial.cli.deploy_show", "show", "Show a deployment: its hosts, events and times."),
        "list": ("seatrial.cli.deploy_list", "list_deployments", "List deployments, newest first."),
        "stop": ("seatrial.cli.deploy_stop", "stop", "Stop a deployment, and roll back if asked."),
        "rollback": ("seatrial.cli.deploy_rollback", "rollback", "Deploy the last good revision again."),
        "groups": ("seatrial.cli.deploy_groups", "groups", "Define and show groups of hosts."),
    }


@click.group(cls=DeployGroup, epilog="Example: seatrial deploy check appspec.yml")
def deploy() -> None:
    """Check application specifications, and deploy bundles to hosts."""
