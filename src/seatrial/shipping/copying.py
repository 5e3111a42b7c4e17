"""The copy of a project that is shipped, so that nobody changes it under way and nothing of theirs is changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Never part of what is shipped: version control, environments, caches and what Seatrial itself writes.
LEFT_OUT = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".tox",
        ".nox",
        ".demo",
        "test-reports",
    }
)
_FICLONE = 0x40049409  # ioctl of Linux that shares the blocks of a file where the file system can


def fingerprint(directory: Path) -> str:
    """SHA-256 over names, sizes and times of everything that would be copied: whether a project has changed."""
    total = hashlib.sha256()
    for relative, path in walk(directory):
        status = path.lstat()
        total.update(f"{relative}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def copy(directory: Path, target: Path) -> tuple[int, int]:
    """Copy the project to `target` and return how many files and bytes that were.

    Raises:
        SeatrialError: a file cannot be read, or the disk is full.
    """
    files = size = 0
    for relative, path in walk(directory):
        place = target / relative
        try:
            if path.is_symlink():
                place.symlink_to(path.readlink())
            elif path.is_dir():
                place.mkdir(mode=0o700)
            else:
                size += _copy_file(path, place)
                files += 1
        except OSError as error:
            raise SeatrialError(f"cannot copy: {error.strerror}", where=str(path)) from error
    return files, size


def walk(directory: Path) -> Iterator[tuple[str, Path]]:
    """Everything that is copied: relative path and place, folders before what is in them, in a stable order."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise SeatrialError(f"cannot read the folder: {error.strerror}", where=str(directory)) from error
    for entry in entries:
        if entry.name in LEFT_OUT:
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            continue  # sockets and devices belong to processes, not to projects
        yield entry.name, Path(entry.path)
        if stat.S_ISDIR(mode):
            if Path(entry.path, "pyvenv.cfg").exists():
                continue  # a virtual environment by another name
            for relative, path in walk(Path(entry.path)):
                yield f"{entry.name}/{relative}", path


def _copy_file(source: Path, target: Path) -> int:
    with source.open("rb") as reading, target.open("xb") as writing:
        with suppress(OSError):
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            shutil.copystat(source, target)
            return os.fstat(writing.fileno()).st_size
        shutil.copyfileobj(reading, writing, 1 << 20)
    shutil.copystat(source, target)
    return target.stat().st_size
