"""Locks that the kernel releases: no stale lock ever needs a human.

A lock belongs to the open file description. It ends with the last process that holds it open, however
that process died, and it passes to a forked child that keeps the descriptor.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Take the lock and return its descriptor, or None when another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def wait_lock(path: Path, *, shared: bool = False) -> int:
    """Take the lock, waiting as long as it takes, and return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock for itself alone."""
    # Asked by a shared lock, so that two who ask at the same time do not take each other for the holder.
    return _refused(path, shared=True)


def in_use(path: Path) -> bool:
    """Whether any living process holds the lock, alone or with others."""
    return _refused(path, shared=False)


def _refused(path: Path, *, shared: bool) -> bool:
    if not path.exists():
        return False
    descriptor = try_lock(path, shared=shared)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock for a block."""
    descriptor = wait_lock(path, shared=shared)
    try:
        yield
    finally:
        os.close(descriptor)


def release(descriptor: int) -> None:
    """Give a lock back."""
    os.close(descriptor)
