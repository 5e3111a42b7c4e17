"""Which wheels share a layer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.lock import LockedWheel

MAX_LAYERS = 100
"""Overlay file systems take about 128 lower folders; registries and engines agree on less."""
_LARGE = 8 << 20
_VERY_LARGE = 128 << 20
_BUCKETS = 8


def group(wheels: Sequence[LockedWheel], room: int) -> list[tuple[LockedWheel, ...]]:
    """One group per large wheel, at most `room` groups in all; small ones by a hash of their name.

    The group of a small wheel depends on its own name alone, so another pin changes one layer.

    Raises:
        SeatrialError: there is no room for a single layer.
    """
    if not wheels:
        return []
    if room < 1:
        raise SeatrialError(
            "the base has too many layers to add any", fix=f"choose a base with fewer than {MAX_LAYERS}"
        )
    large = sorted((w for w in wheels if is_large(w)), key=lambda w: (-w.size, w.name))
    large = large[: room - _buckets(room)]
    alone = {w.name for w in large}
    small: dict[int, list[LockedWheel]] = {}
    for wheel in wheels:
        if wheel.name not in alone:
            small.setdefault(shared(wheel.name, room)[0], []).append(wheel)
    return [(w,) for w in sorted(large, key=lambda w: w.name)] + [tuple(small[n]) for n in sorted(small)]


def is_large(wheel: LockedWheel) -> bool:
    """Whether a wheel gets a layer of its own where there is room."""
    return wheel.size >= _LARGE


def halved(grouped: Sequence[tuple[LockedWheel, ...]], room: int) -> set[str]:
    """Names of the wheels whose files go into two layers, which are then made, sent and pulled side by side.

    One thread that packs and one connection that sends a very large wheel would decide how long all of it takes.
    """
    alone = [wheels[0] for wheels in grouped if len(wheels) == 1 and wheels[0].size >= _VERY_LARGE]
    largest = sorted(alone, key=lambda w: (-w.size, w.name))
    return {wheel.name for wheel in largest[: max(0, room - len(grouped))]}


def shared(name: str, room: int) -> tuple[int, int]:
    """Which shared layer takes a small wheel, counted from 1, and how many there are."""
    buckets = _buckets(room)
    return hashlib.sha256(name.encode()).digest()[0] % buckets + 1, buckets


def _buckets(room: int) -> int:
    return min(_BUCKETS, max(1, room // 2))


def describe(wheels: Sequence[LockedWheel]) -> str:
    """`numpy 2.4.6`, or `3 packages: a, b, c`."""
    if len(wheels) == 1:
        return f"{wheels[0].name} {wheels[0].version}"
    return f"{len(wheels)} packages: {', '.join(w.name for w in wheels)}"
