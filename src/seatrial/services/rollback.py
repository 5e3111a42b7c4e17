"""Rolling back a deployment that has ended, also one that succeeded long ago: a deployment of the last good revision.

While the old version's instances are still there, the traffic moves back in one call, before anything else is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.clock import SystemClock
from seatrial.deployments.deployments import ENDED
from seatrial.deployments.records import changing
from seatrial.errors import UsageError
from seatrial.services import records, retiring, revisions, target
from seatrial.services.model import ALL
from seatrial.services.records import Event, Part, ServiceDeployment

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.engine.journal import Journal


def begin(journal: Journal, reference: str) -> ServiceDeployment:
    """The deployment that undoes the latest one of its services, which has ended; `starting.carry_out` does the rest.

    `reference` is what `records.find` takes. The traffic is with the version before on return where that still runs.

    Raises:
        UsageError: it has not ended, is not the latest one, or there is nothing good before it.
    """
    home, now = journal.home, SystemClock().now()
    latest = records.settle(journal, records.find(home, reference), now)
    if latest.status not in ENDED:
        raise UsageError(
            f"{latest.id} has not ended",
            fix=f"`seatrial deploy stop {latest.id}` stops it and brings the version before back",
        )
    parts = tuple(_part(home, latest, part) for part in latest.parts)
    with changing(home):
        undo = records.create(
            home,
            ServiceDeployment(
                id="",
                parts=parts,
                strategy="all-at-once",
                description=f"Rolls back {latest.id}.",
                created=now,
                rollback_of=latest.id,
            ),
        )
    moved = [part.service for part in parts if _moved(home, part)]
    text = f"{undo.id}: rolls back {latest.id}" + (
        f"; {', '.join(moved)} at once, for its old version still runs" if moved else ""
    )
    records.tell(home, undo.id, Event(at=now, kind="created", text=text, data={"at once": moved}))
    message = (
        f"Deployment {undo.id} rolls back to {', '.join(f'{one.after} of {one.service}' for one in parts)}."
    )
    records.change(home, latest.id, rolled_back_by=undo.id, rollback_message=message)
    return undo


def _part(home: Path, latest: ServiceDeployment, part: Part) -> Part:
    """The way back for one service.

    Raises:
        UsageError: there is none.
    """
    newest = records.of_service(home, part.service)[0]
    if newest.id != latest.id:
        raise UsageError(
            f"{latest.id} is not the latest deployment of the service {part.service}",
            why=f"{newest.id} came after it",
            fix=f"`seatrial deploy rollback {newest.id}` undoes that one",
        )
    wanted, _ = target.look(home, part.service)
    serving = retiring.serving(wanted)
    good = records.last_good(home, part.service, other_than=serving)
    if good is None:
        raise UsageError(
            f"the service {part.service} has no good version before {serving or part.after}",
            fix="`seatrial deploy list` shows what was deployed",
        )
    before = good.part(part.service)
    revisions.load(home, part.service, before.after)  # a version that is not kept any more is said now
    return msgspec.structs.replace(before, before=serving, new=False, url=part.url, test_url=part.test_url)


def _moved(home: Path, part: Part) -> bool:
    """Whether the version's instances are all there, and have the traffic now."""
    wanted, actual = target.look(home, part.service)
    wished = {wish.port for wish in wanted.instances if wish.revision == part.after}
    ready = {one.port for one in actual.instances if one.revision == part.after and one.state == "ready"}
    if not wished or wished != ready:
        return False
    target.shift(home, part.service, {part.after: ALL})
    return True
