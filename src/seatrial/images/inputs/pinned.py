"""Pins of a lock that says no addresses: an index is asked for the files, and only those of the lock are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.inputs.asked import Asked, Draft

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.images.inputs.choosing import Unplaced


def asked_of_pins(
    pins: Iterable[Unplaced],
    *,
    files: tuple[Path, ...] = (),
    index: str = "",
    extra_indexes: tuple[str, ...] = (),
) -> Asked:
    """Exactly these versions, without what they need, each by a hash of the lock."""
    listed = sorted(pins, key=lambda one: one.name)
    lines = {one.name: f"{one.name}=={one.version}" for one in listed}
    return Asked(
        requirements=("pins.txt",),
        drafts=(Draft("pins.txt", tuple(f"{lines[one.name]}\n" for one in listed if not one.index)),),
        placed=tuple((lines[one.name], one.index) for one in listed if one.index),
        no_deps=True,
        hashed=all(one.hashes for one in listed),
        hashes={one.name: one.hashes for one in listed},
        pins=frozenset(lines.values()),
        index=index,
        extra_indexes=extra_indexes,
        files=files,
    )
