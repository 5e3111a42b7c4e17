"""`seatrial deploy rollback`: what was good before has the traffic, or is deployed, again."""

from __future__ import annotations

import click

from seatrial.cli.common import directory_option, json_option, note
from seatrial.cli.deploying_groups import how_options


@click.command(epilog="Example: seatrial deploy rollback latest")
@click.argument("what", default="latest", metavar="[ID|latest|SERVICE|APPLICATION/GROUP]")
@how_options
@json_option
@directory_option
def rollback(
    what: str, configuration: str, overwriting: str, allow: tuple[str, ...], as_json: bool
) -> int | None:
    """Bring back what was good before: of a service, whether its deployment goes on or has ended; or of a group.

    While the old version of a service still runs the traffic is with it at once, also long after the promotion. It is a
    deployment of its own. The options are for groups.
    """
    if "/" in what:
        _of_group(what, configuration, overwriting, allow, as_json=as_json)
        return None
    return _of_services(what, as_json=as_json)


def _of_services(reference: str, *, as_json: bool) -> int:
    from seatrial import paths
    from seatrial.cli import deploying
    from seatrial.clock import SystemClock
    from seatrial.deployments.deployments import ENDED
    from seatrial.engine.journal import Journal
    from seatrial.services import records, starting
    from seatrial.services import rollback as rollbacks

    journal = Journal(paths.home())
    one = records.settle(journal, records.find(journal.home, reference), SystemClock().now())
    if one.status not in ENDED:
        if not as_json:
            note(f"{one.id} goes on: it is ended, and the version before has all the traffic again")
        # Before the shift nobody listens to requests, and stopping does the same.
        if records.in_charge(journal, one) and records.shift_of(journal.home, one.id):
            records.ask(journal.home, one.id, "roll back", now=SystemClock().now())
            return deploying.await_end(journal, one, as_json=as_json)
        starting.stop(journal, one.id)
        return deploying.ended(journal, one.id, as_json=as_json)
    undo = rollbacks.begin(journal, reference)
    return deploying.carry_out(journal, undo, as_json=as_json)


def _of_group(
    group_name: str, configuration: str, overwriting: str, allow: tuple[str, ...], *, as_json: bool
) -> None:
    from seatrial import paths
    from seatrial.cli.deploying_groups import carry_out
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
