"""What the commands that deploy to groups of hosts have in common."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial.cli.common import note, print_json
from seatrial.cli.failure import explained, show_explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.deployments.groups import Group
    from seatrial.deployments.revisions import Revision
    from seatrial.deployments.starting import Wanted
    from seatrial.engine.journal import Journal

F = TypeVar("F", bound="Callable[..., Any]")
_SIGNS = {"Succeeded": "✓", "Failed": "✗", "Skipped": "-"}


def how_options(function: F) -> F:
    """How the revision is deployed: `configuration`, `overwriting` and `allow`."""
    for option in (
        click.option(
            "--allow", multiple=True, type=click.Choice(["symlinks", "traversal", "setuid", "duplicates"]),
            help="Let through what a bundle is refused for. May be repeated.",
        ),
        click.option(
            "--file-exists-behavior", "overwriting", type=click.Choice(["DISALLOW", "OVERWRITE", "RETAIN"]),
            default="DISALLOW", show_default=True,
            help="Files that are there and are not of the last deployment.",
        ),
        click.option(
            "--config", "configuration", default="", metavar="NAME|HOST_COUNT=N|FLEET_PERCENT=N|FILE",
            help="Another deployment configuration than the group's.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def deploy(
    group_name: str,
    *,
    bundle: str,
    identifier: str,
    kind: str | None,
    version: str,
    configuration: str,
    rollback_on: str,
    overwriting: str,
    allow: tuple[str, ...],
    description: str,
    as_json: bool,
) -> None:
    """Deploy a bundle, or an older revision, to the hosts of a group."""
    from seatrial import paths
    from seatrial.deployments import configurations, groups, revisions
    from seatrial.deployments.starting import Wanted
    from seatrial.engine.journal import Journal
    from seatrial.errors import UsageError

    home = paths.home()
    group = groups.load(home, group_name)
    own = configurations.for_servers(configurations.find(configuration)) if configuration else None
    if bool(bundle) == bool(identifier):
        raise UsageError(
            "say what to deploy: BUNDLE, or --revision ID", fix="`seatrial deploy list` shows revisions"
        )
    if identifier and (kind or version):
        raise UsageError(
            "--type and --version say what BUNDLE is, and a revision is known", fix="leave them out"
        )
    if identifier:
        revision = revisions.load(home, group.application, identifier)
    else:
        revision = _registered(group, bundle, kind, version, description)
    wanted = Wanted(
        revision,
        own,
        groups.read_rollback(rollback_on) if rollback_on else None,
        description,
        overwriting,
        tuple(sorted(set(allow))),
    )
    carry_out(Journal(home), group, wanted, as_json=as_json)


def _registered(group: Group, bundle: str, kind: str | None, version: str, description: str) -> Revision:
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import revisions
    from seatrial.deployments.agent.bundles import kind_of

    return revisions.register(
        paths.home(),
        group.application,
        bundle,
        kind or kind_of(bundle),
        version=version,
        description=description,
        now=SystemClock().now(),
    )


def carry_out(journal: Journal, group: Group, wanted: Wanted, *, as_json: bool) -> None:
    """Do what is wanted, show how it goes, and leave with the exit code that says how it went."""
    from seatrial.deployments import deployments, fleet, shown, starting
    from seatrial.engine.run import describe, reap

    home = journal.home
    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )
    starting.bring_up(home, group, lambda text: note(f"note: {text}"))
    deployment, continued = starting.start(journal, group, wanted)
    if not as_json:
        note(
            f"{'going on with' if continued else 'deployment'} {deployment.id}: {wanted.revision.id} to {group.label}"
        )
    fleet.carry_out(journal, deployment.id, watch=_silent if as_json else _watch)
    deployment = deployments.load(home, deployment.id)
    found = shown.data(home, deployment)
    why = explained(journal, deployment.run)
    if as_json:
        data = {**describe(journal, deployment.run), "deployment": found}
        print_json({**data, "explanation": why} if why else data)
    else:
        sys.stdout.write(shown.text(found))
        show_explained(why)
    if deployment.status == "Stopped" and not deployment.alarm:
        raise SystemExit(130)
    if deployment.status != "Succeeded":
        raise SystemExit(1)


def _silent(_kind: str, _subject: str, _data: dict[str, Any]) -> None:
    pass


def _watch(kind: str, subject: str, data: dict[str, Any]) -> None:
    """A line for each host that is done with, and for what follows."""
    outputs = data.get("outputs") or {}
    if kind == "requested":
        note("■ stopping (Ctrl-C again kills)")
    elif kind == "step-ended" and subject.startswith("host."):
        sign = _SIGNS.get(outputs.get("status", ""), "■")
        note(f"{sign} {subject.removeprefix('host.')}: {outputs.get('summary') or data['status']}")
    elif kind == "step-ended" and subject == "rollback" and (outputs.get("deployment") or data["error"]):
        note(f"↶ {outputs.get('summary') or data['error']}")
