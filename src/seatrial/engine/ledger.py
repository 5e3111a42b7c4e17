"""The ledger: everything a run creates outside itself, written down before it is created.

Teardown works from here, not from memory, and in reverse order. Removing is idempotent: what is absent
counts as removed, whether it was removed before or the process died before creating it.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from seatrial.engine.journal import event
from seatrial.engine.points import reach
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.clock import Clock
    from seatrial.engine.journal import Journal

# What removes each kind of thing: `module:function(journal, run_id, name, data)`.
REMOVERS: dict[str, str] = {
    "process": "seatrial.engine.execute:remove_process",
    "tree": "seatrial.engine.trees:remove",
    "build-state": "seatrial.builds.state:remove",
    "build-workspace": "seatrial.builds.state:remove_workspace",
}


class Remover(Protocol):
    """Removes one kind of thing; absent is fine."""

    def __call__(self, journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None: ...


def intend(
    journal: Journal,
    run_id: str,
    step: str,
    attempt: int,
    kind: str,
    name: str,
    data: dict[str, Any],
    now: float,
) -> None:
    """Write down that `kind` `name` is about to be created by this attempt.

    The same thing may be written again by a later attempt; its data is replaced.

    Raises:
        SeatrialError: the attempt is no longer the current one, so it may create nothing any more.
    """
    with journal.transaction() as db:
        current = db.execute(
            "SELECT status FROM attempts WHERE run=? AND step=? AND n=?", (run_id, step, attempt)
        ).fetchone()
        if current is None or current["status"] != "running":
            raise SeatrialError(f"attempt {attempt} of {step} is over; it may create nothing any more")
        db.execute(
            "INSERT INTO ledger (run, step, kind, name, data, state, intended) VALUES (?,?,?,?,?,'intended',?)"
            " ON CONFLICT (run, kind, name) DO UPDATE SET step=excluded.step, data=excluded.data,"
            " state='intended', intended=excluded.intended, removed=NULL, error=''",
            (run_id, step, kind, name, json.dumps(data), now),
        )
        event(db, run_id, now, "ledger-intended", f"{kind}:{name}", {"step": step})
    reach("ledger/intended")


def held(journal: Journal, run_id: str) -> list[dict[str, Any]]:
    """What the run still holds, newest first."""
    rows = journal.rows("SELECT * FROM ledger WHERE run=? AND state<>'removed' ORDER BY id DESC", run_id)
    return [dict(row) | {"data": json.loads(row["data"])} for row in rows]


def release(
    journal: Journal,
    run_id: str,
    clock: Clock,
    *,
    say: Callable[[str], None] | None = None,
    removers: dict[str, Remover] | None = None,
    reach: Callable[[str], None] = reach,
) -> int:
    """Remove everything the run holds and return how many things that were.

    One that cannot be removed does not keep the others.

    Raises:
        SeatrialError: something is left; it stays in the ledger, to be tried again by the reaper.
    """
    failures: list[str] = []
    entries = held(journal, run_id)
    for entry in entries:
        label = f"{entry['kind']}:{entry['name']}"
        reach("ledger/removing")
        try:
            remover = removers[entry["kind"]] if removers is not None else _remover(entry["kind"])
            remover(journal, run_id, entry["name"], entry["data"])
        except (SeatrialError, OSError) as error:
            failures.append(f"{label}: {error}")
            with journal.transaction() as db:
                db.execute("UPDATE ledger SET error=? WHERE id=?", (str(error)[-500:], entry["id"]))
                event(db, run_id, clock.now(), "ledger-remove-failed", label, {"error": str(error)[-500:]})
            continue
        with journal.transaction() as db:
            db.execute("UPDATE ledger SET state='removed', removed=? WHERE id=?", (clock.now(), entry["id"]))
            event(db, run_id, clock.now(), "ledger-removed", label, {})
        reach("ledger/removed")
        if say is not None:
            say(f"removed {entry['kind']} {entry['name']}")
    if failures:
        raise SeatrialError(
            f"{len(failures)} of {len(entries)} things could not be removed",
            why="; ".join(failures),
            fix=f"`seatrial runs resume {run_id}` tries again",
        )
    return len(entries)


def _remover(kind: str) -> Remover:
    if kind not in REMOVERS:
        raise SeatrialError(
            f"this version does not know how to remove a {kind}", fix="use the version that made it"
        )
    module, _, function = REMOVERS[kind].partition(":")
    found: Remover = getattr(importlib.import_module(module), function)
    return found
