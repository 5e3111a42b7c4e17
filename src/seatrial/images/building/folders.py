"""Copying a project's folder: what a fresh checkout would have, with what was changed since, and nothing else.

Left out are version control, caches, virtual environments and what earlier builds left: with them the result
would depend on what was done in the folder before. What version tools read from git is told by `versions.py`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.assemble.tar import EPOCH
from seatrial.images.building.model import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_OUT = frozenset(
    (
        ".git", ".hg", ".svn", ".bzr", "__pycache__", ".tox", ".nox", ".eggs", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".coverage", ".DS_Store", ".idea",
    )
)  # fmt: skip
_BUILT = (".pyc", ".pyo")
_CHUNK = 1 << 20
_MAX_FILES = 200_000


class Item(NamedTuple):
    """A file, folder or link: its path relative to the top, and what it is in stat's words."""

    path: str
    status: os.stat_result
    link: str = ""


def items(top: Path) -> Iterator[Item]:
    """What belongs to the project in `top`, folders before what is in them, in sorted order.

    Raises:
        SourceError: something in it cannot be read, or is no file, folder or link.
    """
    for count, item in enumerate(_walk(top, "")):
        if count >= _MAX_FILES:
            raise SourceError(
                f"this folder has more than {_MAX_FILES} files", where=str(top),
                fix="name the folder of the project itself, or move data out of it",
            )  # fmt: skip
        yield item


def _walk(top: Path, below: str) -> Iterator[Item]:
    place = top / below
    try:
        with os.scandir(place) as listed:
            entries = sorted(listed, key=lambda e: e.name)
    except OSError as error:
        raise _unreadable(place, error) from error
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        status = entry.stat(follow_symlinks=False)
        if _left_out(entry, path):
            continue
        if stat.S_ISLNK(status.st_mode):
            yield Item(path, status, os.readlink(entry.path))  # noqa: PTH115 - scandir's own path
        elif stat.S_ISDIR(status.st_mode):
            yield Item(path, status)
            yield from _walk(top, path)
        elif stat.S_ISREG(status.st_mode):
            yield Item(path, status)


def _left_out(entry: os.DirEntry[str], path: str) -> bool:
    name = entry.name
    if name in _LEFT_OUT or name.endswith(_BUILT):
        return True
    if entry.is_symlink() or not entry.is_dir():
        return False
    inside = Path(entry.path)
    if (inside / "pyvenv.cfg").exists():
        return True
    if name.endswith(".egg-info"):
        return (inside / "PKG-INFO").exists()  # made by an earlier build; its file list would be believed
    if path == "build":  # of setuptools: everything that ever was in `build/lib` goes into its wheels
        return any(
            (inside / made).is_dir() for made in ("lib", "bdist.linux-x86_64", "bdist.linux-aarch64")
        ) or any(one.name.startswith(("lib.", "temp.")) for one in inside.iterdir())
    return path == "dist" and all(one.name.endswith((".whl", ".tar.gz", ".zip")) for one in inside.iterdir())


def digest(top: Path) -> str:
    """The sha256 of what belongs to the project: paths, contents, links and who may execute."""
    whole = hashlib.sha256()
    for item in items(top):
        mode = item.status.st_mode
        whole.update(os.fsencode(item.path) + b"\0")
        if item.link:
            whole.update(b"l" + os.fsencode(item.link))
        elif stat.S_ISREG(mode):
            whole.update((b"x" if mode & 0o111 else b"f") + _hash_file(top / item.path))
        else:
            whole.update(b"d")
        whole.update(b"\0")
    return whole.hexdigest()


def _hash_file(place: Path) -> bytes:
    try:
        with place.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise _unreadable(place, error) from error


def copy(top: Path, target: Path, beyond: Path | None = None) -> None:
    """Copy what belongs to the project into the new folder `target`, with fixed times and modes.

    A link out of `top` is copied as what it points to when that is a file inside of `beyond` (the repository
    that `top` is a part of), else as the link that it is: in the sandbox it leads nowhere of this machine.
    """
    target.mkdir(mode=0o755)
    for item in items(top):
        place = target / item.path
        if item.link:
            inside = _within(top / item.path, top, beyond)
            if inside is None:
                place.symlink_to(item.link)
                continue
            _copy_file(inside, place, inside.stat().st_mode)
        elif stat.S_ISDIR(item.status.st_mode):
            place.mkdir(mode=0o755)
        else:
            _copy_file(top / item.path, place, item.status.st_mode)
    settle(target)


def settle(folder: Path) -> None:
    """Give everything in `folder` one time and plain modes: when a file was checked out must not make a difference."""
    for parent, names, files in os.walk(folder, topdown=False):
        for name in (*files, *names):
            path = os.path.join(parent, name)  # noqa: PTH118 - many of them
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, 0o755 if stat.S_ISDIR(mode) or mode & 0o111 else 0o644)  # noqa: PTH101
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def _within(link: Path, top: Path, beyond: Path | None) -> Path | None:
    if beyond is None:
        return None
    real, inner, outer = (
        Path(os.path.realpath(link)),
        Path(os.path.realpath(top)),
        Path(os.path.realpath(beyond)),
    )
    leaves = not real.is_relative_to(inner) and real.is_relative_to(outer) and ".git" not in real.parts
    return real if leaves and real.is_file() else None


def _copy_file(source: Path, target: Path, mode: int) -> None:
    try:
        reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(source, error) from error
    with os.fdopen(reader, "rb") as stream, target.open("xb") as out:
        while chunk := stream.read(_CHUNK):
            out.write(chunk)
        os.fchmod(out.fileno(), 0o755 if mode & 0o111 else 0o644)


def _unreadable(place: Path, error: OSError) -> SourceError:
    return SourceError(
        f"the project cannot be read: {error.strerror}",
        where=str(place),
        fix="make it readable, or remove it",
    )
