"""Logs that programs hold open for ever: their beginning is given back to the file system while they grow."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_BLOCK = 4096
_WORDS = 600


def appended(path: Path) -> int:
    """A descriptor for what is written to a log, always at its end."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def size(path: Path) -> int:
    """Bytes up to the end of a log; 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def bound(path: Path, most: int) -> None:
    """Give the beginning of a log back when more than twice `most` bytes of it are on the disk.

    The file keeps its size, so that places in it stay what they are; what was there reads as zero bytes. On a file
    system without holes the log is emptied instead.
    """
    try:
        found = path.stat()
    except OSError:
        return
    if min(found.st_blocks * 512, found.st_size) <= 2 * most:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        end = (found.st_size - most) // _BLOCK * _BLOCK
        if not _punched(descriptor, end):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def last_words(path: Path, since: int = 0) -> str:
    """The end of what a program has written since byte `since`."""
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(since, size(path) - _WORDS))
        return stream.read(_WORDS).replace(b"\0", b"").decode(errors="replace").strip()
    return ""


def _punched(descriptor: int, length: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    long = ctypes.c_longlong
    done: int = libc.fallocate64(descriptor, _KEEP_SIZE | _PUNCH_HOLE, long(0), long(length))
    return done == 0
