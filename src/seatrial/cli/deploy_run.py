"""`seatrial deploy run`: a new version of services, or a revision for the hosts of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from seatrial.cli.common import directory_option, json_option
from seatrial.cli.deploying_groups import how_options
from seatrial.cli.durations import SECONDS
from seatrial.cli.settings import settings_options
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
_FOR_GROUPS = ("kind", "version", "configuration", "rollback_on", "overwriting", "allow")
_FOR_SERVICES = (
    "names", "images", "insecure", "strategy", "bake", "test", "driver", "no_analysis", "detach", "settings", "explain_config",
)  # fmt: skip


def _service_options(function: F) -> F:
    for option in (
        click.option("--detach", is_flag=True, help="Leave it running and come back at once; `deploy watch` follows it."),
        click.option("--no-analysis", is_flag=True, help="Compare nothing: time, alarms and health decide alone."),
        click.option("--driver", type=click.Choice(["haproxy", "envoy"]), help="The load balancer of a service that is not up yet."),
        click.option("--test", type=SECONDS, metavar="TIME", help="How long only the test listener reaches the new version."),
        click.option("--bake", type=SECONDS, metavar="TIME", help="How long a rollback is automatic after the last shift."),
        click.option("--strategy", default="", metavar="S",
                     help="all-at-once, blue-green, canary:10%:5m, linear:10%:1m, steps:1%,5%,25%,100%:2m or a "
                          "traffic configuration of CodeDeploy. Default: the services' own."),
        click.option("--insecure", is_flag=True, help="Speak plain HTTP to the registry of --image."),
        click.option("--image", "images", multiple=True, metavar="[SERVICE=]REF|FOLDER",
                     help="The new version is this image: in a registry, or the folder of an OCI layout."),
        click.option("--service", "names", multiple=True, metavar="NAME",
                     help="Deploy this service. May be repeated. Default: all of the project, as one."),
    ):  # fmt: skip
        function = option(function)
    return function


def _group_options(function: F) -> F:
    for option in (
        click.option("--rollback-on", default="", metavar="failure,alarm,stop|none",
                     help="With --group: when to roll back; default: the group's."),
        click.option("--version", default="", metavar="V", help="With --group: commit, branch or tag of a repository."),
        click.option("--type", "kind", type=click.Choice(["directory", "zip", "tar", "tgz", "git"]),
                     help="With --group: what BUNDLE is. Default: by what is there."),
        click.option("--group", "group_name", default="", metavar="APPLICATION/GROUP", help="Deploy to these hosts."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(epilog="Example: seatrial deploy run . --strategy canary:10%:5m --bake 1m")
@click.argument("source", required=False, default="", metavar="[DIR|BUNDLE]")
@_service_options
@click.option(
    "--revision", "identifier", default="", metavar="ID", help="A revision that was deployed before."
)
@click.option("--description", default="", metavar="TEXT", help="What this deployment is about.")
@_group_options
@how_options
@settings_options
@json_option
@directory_option
@click.pass_context
def run(context: click.Context, /, source: str, group_name: str, as_json: bool, **given: Any) -> int | None:
    """Deploy a new version of the services of DIR, as fast as the evidence allows; or BUNDLE to a group of hosts.

    DIR has a seatrial.yaml with `services`. The new version is started beside the old one behind a load balancer on this
    machine and gets traffic step by step; it is compared with the old one, and goes when it is worse. --json prints a
    run whose outputs have requests, failures, the split of each step and the verdicts.

    With --group BUNDLE (a folder, an archive, s3://… or a repository), or an older revision, goes to so many hosts at a
    time as the configuration allows.

    The same command goes on with a deployment that was cut off. Ctrl-C stops it, and the old version has all the traffic
    again. Exit code 1: it failed, was rolled back, or an alarm stopped it.
    """
    _check_options(context, group=bool(group_name))
    shared = {name: given[name] for name in ("identifier", "description")}
    if group_name:
        from seatrial.cli import deploying_groups

        own = {name: given[name] for name in _FOR_GROUPS}
        deploying_groups.deploy(group_name, bundle=source, **own, **shared, as_json=as_json)
        return None
    from seatrial.cli import deploying

    own = {name: given[name] for name in _FOR_SERVICES}
    return deploying.deploy(source or ".", deploying.Asked(**own, **shared), as_json=as_json)


def _check_options(context: click.Context, *, group: bool) -> None:
    """Refuse options of the other kind of deployment.

    Raises:
        UsageError: names the first.
    """
    others = _FOR_SERVICES if group else _FOR_GROUPS
    flags = {option.name: option.opts[0] for option in context.command.params}
    for name in others:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{flags[name]} is for {'services' if group else 'groups of hosts'}",
                fix="leave out --group" if group else "say which group with --group, or leave it out",
            )
