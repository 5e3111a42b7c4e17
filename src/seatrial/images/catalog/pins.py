"""Tags that stay, for a repository of which a moving one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.catalog import tables

if TYPE_CHECKING:
    from seatrial.images.catalog.model import Contents


def pinned_tags(contents: Contents) -> tuple[str, ...]:
    """Tags of the same repository that do not move, the newest first; none where none is known."""
    if contents.family == "nccl-tests":
        return (str(tables.load("ngc")["nccl_tests"]["pinned"]),)
    return ()
