"""Which repositories of a registry are known to hold a blob, so that it can be mounted instead of sent.

Only a hint kept in the cache: a registry that no longer has the blob takes an upload instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.locks import locked
from seatrial.paths import cache

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MOST_BLOBS = 20_000
_MOST_REPOSITORIES = 4


def known(registry: str) -> dict[str, list[str]]:
    """Digest → repositories of this registry that had it, newest first."""
    try:
        return msgspec.json.decode(_file(registry).read_bytes(), type=dict[str, list[str]])
    except (OSError, msgspec.MsgspecError, SeatrialError):
        return {}


def remember(registry: str, repository: str, digests: Iterable[str]) -> None:
    """Note that the repository has these blobs. A cache that cannot be written is no reason to fail."""
    try:
        with locked(_file(registry).with_suffix(".lock")):
            table = known(registry)
            for digest in digests:
                others = [name for name in table.pop(digest, []) if name != repository]
                table[digest] = [repository, *others][:_MOST_REPOSITORIES]
            newest = dict(list(table.items())[-_MOST_BLOBS:])
            write_atomic(_file(registry), msgspec.json.encode(newest))
    except (OSError, SeatrialError):
        return


def _file(registry: str) -> Path:
    folder = cache() / "registries"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / (re.sub(r"[^A-Za-z0-9.-]", "_", registry) + ".json")
