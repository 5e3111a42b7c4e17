"""The services that stand on this machine, as data and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.clock import iso
from seatrial.deployments.deployments import ENDED
from seatrial.deployments.shown import table
from seatrial.services import records, written
from seatrial.services.model import folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.services.model import Actual, Wanted

_SIGNS = {"ready": "✓", "starting": "…", "draining": "↓", "failing": "✗"}


def data(home: Path, name: str) -> dict[str, Any]:
    """A service: its addresses, its versions with their shares and instances, and what its keeper says.

    Raises:
        UsageError: there is no such service.
    """
    wanted = written.wanted(home, name)
    place = folder(home, name)
    actual = written.read_actual(place)
    active = next((one for one in records.of_service(home, name) if one.status not in ENDED), None)
    return {
        "service": name,
        "url": f"http://127.0.0.1:{wanted.listening.port}",
        "test_url": f"http://127.0.0.1:{wanted.listening.test_port}",
        "test_header": wanted.listening.test_header,
        "driver": wanted.listening.driver,
        "kept": written.is_kept(place),
        "settled": actual.number >= wanted.number,
        "problem": actual.problem or None,
        "proxy_starts": actual.proxy_starts,
        "deployment": active.id if active else None,
        "revisions": [_revision(wanted, actual, one) for one in wanted.revisions],
    }


def text(found: Sequence[dict[str, Any]]) -> str:
    """Services with their versions and instances, from `data`."""
    return "\n".join(map(_text, found))


def _text(one: dict[str, Any]) -> str:
    lines = [f"{one['service']}  {one['url']}  (test: {one['test_url']})  {one['driver']}"]
    if one["deployment"]:
        lines.append(f"  deployment {one['deployment']} goes on: `seatrial deploy watch {one['deployment']}`")
    if not one["kept"]:
        lines.append("  nobody keeps it: what runs goes on, nothing is restarted until the next deployment")
    if one["problem"]:
        lines.append(f"  {one['problem']}")
    rows = []
    for revision in one["revisions"]:
        marks = "".join(f", {name}" for name in ("tested", "shadow") if revision[name])
        rows.append(
            (
                f"  {revision['id']}",
                f"{revision['share']:.4g} %{marks}",
                _health(revision["instances"]),
                revision["source"],
            )
        )
    broken = [
        f"  {_SIGNS['failing']} {instance['slot']} on port {instance['port']}: {instance['why']}"
        for revision in one["revisions"]
        for instance in revision["instances"]
        if instance["state"] == "failing"
    ]
    return "\n".join(lines) + "\n" + table(rows) + "".join(f"{line}\n" for line in broken)


def _health(instances: Sequence[dict[str, Any]]) -> str:
    """`✓ 2 ready`, `✗ 1 failing, ✓ 1 ready`."""
    counts: dict[str, int] = {}
    for one in instances:
        counts[one["state"]] = counts.get(one["state"], 0) + 1
    said = [f"{_SIGNS.get(state, '?')} {count} {state}" for state, count in sorted(counts.items())]
    restarts = sum(one["restarts"] for one in instances)
    return ", ".join(said or ["no instances"]) + (f", {restarts} restarted" if restarts else "")


def _revision(wanted: Wanted, actual: Actual, identifier: str) -> dict[str, Any]:
    revision = wanted.revisions[identifier]
    mine = [one for one in wanted.instances if one.revision == identifier]
    whole = sum(one.weight for one in wanted.instances if one.mode == "ready")
    weight = sum(one.weight for one in mine if one.mode == "ready")
    there = {one.slot: one for one in actual.instances if one.revision == identifier}
    return {
        "id": identifier,
        "kind": revision.kind,
        "source": revision.source,
        "digest": revision.digest,
        "registered": iso(revision.registered) if revision.registered else None,
        "share": round(100 * weight / whole, 3) if whole else 0.0,
        "tested": wanted.tested == identifier,
        "shadow": wanted.shadow == identifier,
        "instances": [
            {
                "slot": wish.slot,
                "port": wish.port,
                "state": there[wish.slot].state if wish.slot in there else "starting",
                "pid": process.pid if wish.slot in there and (process := there[wish.slot].process) else None,
                "restarts": there[wish.slot].restarts if wish.slot in there else 0,
                "why": there[wish.slot].why if wish.slot in there else "",
            }
            for wish in mine
        ],
    }
