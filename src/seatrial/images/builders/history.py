"""How long steps took before, so that it can be said how long is left. Kept in the cache, for this machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.files import write_atomic
from seatrial.images.builders.naming import one_line
from seatrial.locks import locked
from seatrial.masking import hide_known
from seatrial.sources.dockerfile import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.builders.model import Step
    from seatrial.sources.text import Source

_MOST = 4000


def key(builder: str, instruction: str) -> str:
    """What a step is remembered by: its text, whatever stands around it, and who built it."""
    return hashlib.sha256(f"{builder}\0{' '.join(instruction.split())}".encode()).hexdigest()[:24]


def known() -> dict[str, float]:
    """Seconds by key, those used last at the end; empty when nothing was built yet."""
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, float])
    except (OSError, msgspec.MsgspecError):
        return {}


def expected(builder: str, dockerfile: Source) -> list[tuple[int, float | None]]:
    """Line of each instruction and the seconds it took before; None for one that was never built."""
    times = known()
    return [
        (
            dockerfile.position(one.start)[0],
            times.get(key(builder, hide_known(one_line(dockerfile.text[one.start : one.end])))),
        )
        for one in read(dockerfile).instructions
    ]


def remember(builder: str, steps: Sequence[Step]) -> None:
    """Keep what steps took that were really done; the newest counts half."""
    done = {key(builder, one.instruction): one.seconds for one in steps if one.state == "done"}
    if not done:
        return
    with locked(_file().with_suffix(".lock")):
        before = known()
        for name, seconds in done.items():
            was = before.pop(name, seconds)
            before[name] = round((was + seconds) / 2, 3)
        kept = dict(list(before.items())[-_MOST:])
        write_atomic(_file(), msgspec.json.encode(kept))


def _file() -> Path:
    folder = paths.cache() / "builders"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "steps.json"
