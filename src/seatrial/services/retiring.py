"""Letting old versions of a service go, and keeping those that are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.clock import iso
from seatrial.services import records, target, written
from seatrial.services.model import Wanted, is_control

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def serving(wanted: Wanted) -> str:
    """The revision that has most of the traffic, '' when none has any."""
    weights: dict[str, int] = {}
    for wish in wanted.instances:
        if is_control(wish.revision):
            continue
        weights[wish.revision] = weights.get(wish.revision, 0) + (wish.weight if wish.mode == "ready" else 0)
    return max((one for one in weights if weights[one]), key=lambda one: weights[one], default="")


def retire(home: Path, service: str, revision: str, keep: float, now: float) -> str:
    """Remove a revision that has no traffic any more, at once or in `keep` seconds; says what happens."""
    if not keep:
        target.remove(home, service, revision)
        return f"{revision} has answered what it had and is gone"

    def change(wanted: Wanted) -> Wanted:
        if revision not in wanted.revisions:
            return wanted
        return msgspec.structs.replace(wanted, retire={**wanted.retire, revision: now + keep})

    written.changed(home, service, change)
    return f"{revision} stays ready until {iso(now + keep)[:19]}Z, for an instant rollback"


def keep(home: Path, service: str, needed: Collection[str]) -> None:
    """Keep the revisions that are needed beyond the time at which they were to go, and remove all others."""

    def change(wanted: Wanted) -> Wanted:
        left = {one: at for one, at in wanted.retire.items() if one not in needed}
        return msgspec.structs.replace(wanted, retire=left)

    wanted = written.changed(home, service, change)
    for revision in [one for one in wanted.revisions if one not in needed]:
        target.remove(home, service, revision)


def fewer(home: Path, service: str, revision: str, count: int) -> None:
    """Let instances of a revision go that are more than wanted; they answer what they have."""

    def change(wanted: Wanted) -> Wanted:
        more = [wish for wish in wanted.instances if wish.revision == revision][count:]
        return msgspec.structs.replace(
            wanted, instances=tuple(wish for wish in wanted.instances if wish not in more)
        )

    written.changed(home, service, change)


def used(home: Path, service: str) -> set[str]:
    """Revisions that may not be forgotten: those that are there, that are deployed, or that a rollback would bring."""
    wanted, _ = target.look(home, service)
    found = set(wanted.revisions)
    active = records.active(home, service)
    if active is not None:
        found |= {active.part(service).before, active.part(service).after}
    good = records.last_good(home, service, other_than=serving(wanted))
    return found | ({good.part(service).after} if good else set())
