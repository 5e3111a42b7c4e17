"""Builds that have run here, as the journal has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.builds import report
from seatrial.engine.journal import Journal
from seatrial.engine.run import describe
from seatrial.errors import UsageError
from seatrial.paths import home

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return report.build(data)


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
    return [report.build(describe(opened, row["id"])) for row in rows]
