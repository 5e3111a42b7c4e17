"""Folders that a run makes for itself, below its own folder, and that its teardown removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.errors import SeatrialError
from seatrial.files import remove_tree

if TYPE_CHECKING:
    from seatrial.engine.journal import Journal


def remove(journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - remover's shape
    """Remove the folder `name` below the run's work folder.

    Raises:
        SeatrialError: the name leads out of that folder; a damaged ledger must not delete anything else.
    """
    work = journal.folder(run_id) / "work"
    place = work / name
    if place.parent != work or name in ("", ".", ".."):
        raise SeatrialError(f"{name!r} is not a folder of run {run_id}")
    remove_tree(place)
