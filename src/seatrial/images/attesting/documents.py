"""What both forms of a bill of materials share: which loose files are listed one by one, and which by folder."""

from __future__ import annotations

import hashlib
import posixpath
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.attesting.model import Loose

MOST_FILES = 500
"""More loose files than this are summed up by folder, unless all are asked for."""
_MOST_FOLDERS = 100
_NAMESPACE = uuid.UUID("6a1f6a9e-6f0b-5d7b-9a2b-0c6f0a2f9c11")


class Folder(NamedTuple):
    """Loose files below one folder. `sha256` is over a line `HASH  PATH` for each, sorted by path: nothing can change unseen."""

    path: str
    files: int
    size: int
    sha256: str


def grouped(loose: Sequence[Loose], *, full: bool) -> tuple[list[Loose], list[Folder]]:
    """Loose files as they are to be listed: all of them, or sums of the folders they are in."""
    if full or len(loose) <= MOST_FILES:
        return list(loose), []
    for depth in range(8, 0, -1):
        groups: dict[str, list[Loose]] = {}
        for one in loose:
            groups.setdefault(_above(one.path, depth), []).append(one)
        if len(groups) <= _MOST_FOLDERS or depth == 1:
            break
    return [], [_sum(path, files) for path, files in sorted(groups.items())]


def moment(seconds: int) -> str:
    """UTC, as in `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def serial(document: object) -> uuid.UUID:
    """The same content has the same number, any other has another."""
    return uuid.uuid5(_NAMESPACE, hashlib.sha256(encoded(document)).hexdigest())


def encoded(document: object) -> bytes:
    """JSON that people can read as well; the same content gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _above(path: str, depth: int) -> str:
    parts = posixpath.dirname(path).strip("/").split("/")
    return "/" + "/".join(parts[:depth])


def _sum(path: str, files: Sequence[Loose]) -> Folder:
    lines = "".join(f"{one.sha256}  {one.path}\n" for one in files)
    return Folder(
        path, len(files), sum(one.size for one in files), hashlib.sha256(lines.encode()).hexdigest()
    )
