"""What changes in a service's wish when a version is installed, shifted to, drained or removed: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.proxy import apportioned
from seatrial.errors import SeatrialError
from seatrial.services.model import Wanted, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from seatrial.services.model import Actual, Revision

replaced = msgspec.structs.replace


class Full(SeatrialError):  # noqa: N818 - a state, not a mistake
    """There is no slot left."""


def installed(
    now: Wanted, revision: Revision, count: int, leaving: Collection[str], ports: Callable[[int], list[int]]
) -> Wanted:
    """With `count` instances of a revision, in slots that are neither taken nor in `leaving`.

    Raises:
        Full: there are too few of them.
    """
    there = [one for one in now.instances if one.revision == revision.id]
    missing = count - len(there)
    revisions = {**now.revisions, revision.id: revision}
    if missing <= 0:
        return replaced(now, revisions=revisions)
    taken = {one.slot for one in now.instances} | set(leaving)
    free = [slot for slot in now.listening.slots if slot not in taken]
    if len(free) < missing:
        raise Full(
            f"service {now.name} has no room for {count} instances of {revision.id}",
            why=f"{len(taken)} of its {len(now.listening.slots)} slots are taken",
            fix=f"remove older revisions; for more replicas, `seatrial deploy down {now.name}` and deploy again",
        )
    new = tuple(
        Wish(slot=slot, revision=revision.id, port=port)
        for slot, port in zip(free[:missing], ports(missing), strict=True)
    )
    return replaced(now, revisions=revisions, instances=(*now.instances, *new))


def shifted(now: Wanted, shares: Mapping[str, float], actual: Actual) -> Wanted:
    """With the traffic split: percent by revision; revisions that are not named get none.

    A revision that gets traffic is no longer to go.

    Raises:
        SeatrialError: a revision that is not ready would take traffic from one that is.
    """
    chosen = {revision for revision, share in shares.items() if share > 0}
    ready = {one.revision for one in actual.instances if one.state in ("ready", "draining")}
    losing = {one.revision for one in now.instances if one.weight} - chosen
    absent = chosen - {one.revision for one in now.instances}
    # When neither is ready nothing is lost by going back to the one that was good.
    if unready := sorted(
        absent or (chosen - ready if losing & ready or chosen & ready or not losing else ())
    ):
        raise SeatrialError(
            f"{unready[0]} cannot have {shares[unready[0]]:g} % of the traffic of service {now.name}",
            why="no instance of it is ready" if not absent else "it is not installed",
        )
    by_revision: dict[str, list[str]] = {}
    for one in now.instances:
        by_revision.setdefault(one.revision, []).append(one.slot)
    weights = apportioned(shares, by_revision)
    return replaced(
        now,
        instances=tuple(
            replaced(
                one,
                weight=weights[one.slot],
                mode="ready" if one.revision in chosen else one.mode,
            )
            for one in now.instances
        ),
        retire={revision: at for revision, at in now.retire.items() if revision not in chosen},
    )


def draining(now: Wanted, revision_id: str) -> Wanted:
    """With a revision that gets nothing new."""
    return replaced(
        now,
        instances=tuple(
            replaced(one, weight=0, mode="drain") if one.revision == revision_id else one
            for one in now.instances
        ),
    )


def without(now: Wanted, revision_id: str) -> Wanted:
    """Without a revision."""
    copied = now.shadow != revision_id
    return replaced(
        now,
        revisions={name: one for name, one in now.revisions.items() if name != revision_id},
        instances=tuple(one for one in now.instances if one.revision != revision_id),
        tested=now.tested if now.tested != revision_id else "",
        shadow=now.shadow if copied else "",
        shadow_share=now.shadow_share if copied else 0.0,
        retire={revision: at for revision, at in now.retire.items() if revision != revision_id},
    )


def due(now: Wanted, moment: float) -> list[str]:
    """Revisions that are to go by now; one that has traffic after all stays."""
    busy = {one.revision for one in now.instances if one.weight}
    return [revision for revision, at in now.retire.items() if at <= moment and revision not in busy]
