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
        "run": (
            "seatrial.cli.deploy_run",
            "run",
            "Deploy a new version of services, or a revision to a group of hosts.",
        ),
        "watch": (
            "seatrial.cli.deploy_watch",
            "watch",
            "Follow a deployment of services: both versions side by side.",
        ),
        "promote": ("seatrial.cli.deploy_ask", "promote", "Give the new version all the traffic now."),
        "hold": ("seatrial.cli.deploy_ask", "hold", "Leave the traffic split as it is."),
        "continue": ("seatrial.cli.deploy_ask", "go_on", "Go on with a deployment that is held."),
        "rollback": (
            "seatrial.cli.deploy_rollback",
            "rollback",
            "Bring back what was good before, also after a promotion.",
        ),
        "stop": ("seatrial.cli.deploy_stop", "stop", "Stop a deployment."),
        "show": (
            "seatrial.cli.deploy_show",
            "show",
            "Show a deployment: hosts and events, or traffic as text, picture or page.",
        ),
        "list": ("seatrial.cli.deploy_list", "list_deployments", "List deployments, newest first."),
        "services": (
            "seatrial.cli.deploy_services",
            "services",
            "Show the services of this machine and their traffic.",
        ),
        "down": ("seatrial.cli.deploy_services", "down", "End services and their load balancers."),
        "groups": ("seatrial.cli.deploy_groups", "groups", "Define and show groups of hosts."),
    }


@click.group(cls=DeployGroup, epilog="Example: seatrial deploy run . --strategy canary:10%:5m")
def deploy() -> None:
    """Deploy services behind a load balancer and bundles to hosts; check application specifications."""
