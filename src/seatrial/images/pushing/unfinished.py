"""Uploads that were begun and not ended, kept in the cache so that another process can go on with them.

An entry says where the registry keeps the upload and how much of it was acknowledged, never a token of ours. The
address may hold the registry's own state of the upload, so the file is for its owner alone and ends after a day.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.locks import release, try_lock
from seatrial.paths import cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIFE = 86_400.0
"""Seconds that an entry is of use; registries forget uploads after a day or earlier."""


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """An open upload. `offset` bytes were acknowledged; `chunk` is the size of a piece; `at` is seconds since the epoch."""

    digest: str
    size: int
    location: str
    offset: int
    chunk: int
    at: float


class Claim:
    """The right to go on with one blob's upload to one repository; another process has none as long as this lives."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, now: float) -> Unfinished | None:
        """What is known of an earlier upload, when it may still be there."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Unfinished)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if 0 <= now - found.at < LIFE else None

    def write(self, upload: Unfinished) -> None:
        """Remember how far it got. A cache that cannot be written is no reason to fail."""
        if "@" in urlsplit(upload.location).netloc:
            return  # a password in an address does not go to the disk
        with suppress(OSError, SeatrialError):
            write_atomic(self._path, msgspec.json.encode(upload), mode=0o600)

    def forget(self) -> None:
        """It is complete, or the registry does not know it any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextmanager
def claim(registry: str, repository: str, digest: str, now: float) -> Iterator[Claim | None]:
    """Take the blob's entry for the block; None when another process sends the same blob there, or no cache can be had."""
    taken = None
    with suppress(OSError, SeatrialError):
        taken = _take(registry, repository, digest, now)
    if taken is None:
        yield None
        return
    path, descriptor = taken
    try:
        yield Claim(path)
    finally:
        with suppress(OSError):
            path.with_suffix(".lock").unlink(missing_ok=True)
        release(descriptor)


def _take(registry: str, repository: str, digest: str, now: float) -> tuple[Path, int] | None:
    folder = cache() / "registries" / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(f"{registry}\0{repository}\0{digest}".encode()).hexdigest()[:40]
    path = folder / f"{name}.json"
    lock = path.with_suffix(".lock")
    descriptor = try_lock(lock)
    if descriptor is None:
        return None
    with suppress(OSError):
        # Its former holder may have removed the file between its opening and its locking.
        if lock.stat().st_ino == os.fstat(descriptor).st_ino:
            _sweep(folder, now)
            return path, descriptor
    release(descriptor)
    return None


def _sweep(folder: Path, now: float) -> None:
    for path in folder.glob("*.json"):
        with suppress(OSError):
            if now - path.stat().st_mtime > LIFE:
                path.unlink(missing_ok=True)
