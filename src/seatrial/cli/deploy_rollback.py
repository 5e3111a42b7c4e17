"""`seatrial deploy rollback`: the last good revision, deployed again."""

from __future__ import annotations

import click

from seatrial.cli.common import directory_option, json_option, note
from seatrial.cli.deploy_run import carry_out, how_options


@click.command(epilog="Example: seatrial deploy rollback web/production")
@click.argument("group_name", metavar="APPLICATION/GROUP")
@how_options
@json_option
@directory_option
def rollback(
    group_name: str, configuration: str, overwriting: str, allow: tuple[str, ...], as_json: bool
) -> None:
    """Deploy to a group what was good before its latest deployment; this is a deployment of its own."""
    from seatrial import paths
    from seatrial.deployments import configurations, groups, starting
    from seatrial.deployments.starting import Wanted
    from seatrial.engine.journal import Journal

    journal = Journal(paths.home())
    group = groups.load(journal.home, group_name)
    own = configurations.for_servers(configurations.find(configuration)) if configuration else None
    latest, revision = starting.to_roll_back(journal.home, group)
    if not as_json:
        note(f"{latest.id} brought {latest.revision}; {revision.id} was good before it")
    description = f"Rolls back {latest.id} to {revision.id}."
    wanted = Wanted(revision, own, (), description, overwriting, tuple(sorted(set(allow))), latest.id)
    carry_out(journal, group, wanted, as_json=as_json)
