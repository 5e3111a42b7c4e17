"""Builds that have run here, as the journal has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from seatrial.builds import report
from seatrial.engine.journal import Journal
from seatrial.engine.run import describe
from seatrial.errors import UsageError
from seatrial.paths import home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST = 20
"""Earlier runs that are looked at."""


def journal() -> Journal:
    """The journal of this user."""
    return Journal(home())


def find(opened: Journal, reference: str = "") -> dict[str, Any]:
    """The build that `reference` names (an id, a unique part of one, `latest`; default the latest), as `--json` prints it.

    Raises:
        UsageError: there is none, or the run is no build.
        SeatrialError: no or several runs fit.
    """
    if reference in ("", "latest"):
        rows = opened.rows("SELECT id FROM runs WHERE kind='build' ORDER BY created DESC, id DESC LIMIT 1")
        if not rows:
            raise UsageError("no build has run here yet", fix="`seatrial build run DIR` runs one")
        run_id = str(rows[0]["id"])
    else:
        run_id = opened.find(reference)
    data = describe(opened, run_id)
    if data["kind"] != "build":
        raise UsageError(
            f"run {run_id} is no build but a {data['kind']}",
            fix="`seatrial runs list --kind build` shows builds",
        )
    return _shown(opened, data)


def earlier(
    opened: Journal, run: Mapping[str, Any], *, include: bool = False, most: int = MOST
) -> list[dict[str, Any]]:
    """Up to `most` ended builds of the same project, newest first: those before `run`, with itself when `include`."""
    mine = opened.run(run["id"])
    rows = opened.rows(
        "SELECT id FROM runs WHERE kind='build' AND name=? AND ended IS NOT NULL AND (id<>? OR ?) AND created<=?"
        " ORDER BY created DESC, id DESC LIMIT ?",
        *(mine["name"], mine["id"], int(include), mine["created"], most),
    )
    return [_shown(opened, describe(opened, row["id"])) for row in rows]


def _shown(opened: Journal, run: dict[str, Any]) -> dict[str, Any]:
    """A build as `--json` prints it, and what its processes took: `cpu_seconds`, `peak_memory` (bytes), or nothing."""
    shown = report.build(run)
    return {**shown, "outputs": {**shown["outputs"], "resources": _resources(opened, run)}}


def _resources(opened: Journal, run: dict[str, Any]) -> dict[str, Any]:
    """Of the build's container, over all of its starts. An engine's containers are not below it, and tell nothing."""
    prepared = run["outputs"].get("prepare") or {}
    if {"docker", "podman"} & set(prepared.get("argv") or ()):
        return {}
    ends = [_end(opened.attempt_folder(run["id"], "container", one["n"])) for one in _attempts(run)]
    known = [one for one in ends if one is not None]
    if not known or len(known) < len(ends):
        return {}
    return {
        "cpu_seconds": round(sum(one["cpu_seconds"] for one in known), 3),
        "peak_memory": max(one["peak_memory"] for one in known),
    }


def _attempts(run: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [step for stage in run["stages"] for step in stage["steps"] if step["name"] == "container"]
    return [attempt for step in steps for attempt in step["attempts"]]


def _end(folder: Path) -> dict[str, Any] | None:
    """What is known of a start that has ended."""
    try:
        record: dict[str, Any] = json.loads((folder / "exit.json").read_bytes())
    except (OSError, ValueError):
        return None
    return record if "cpu_seconds" in record else None
