"""What lies in the cache, and making it smaller without disturbing anyone."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.errors import UsageError
from seatrial.files import remove_tree
from seatrial.images.assemble.store import KINDS, entry_path, held, pruning, sweep
from seatrial.locks import in_use, release, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the cache: bytes on disk, when it was used last (seconds since the epoch), and by whom now."""

    kind: str
    name: str
    size: int
    used: float
    in_use: bool


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What pruning did, in bytes and entries. `kept_in_use` is what could not go."""

    removed: int
    removed_bytes: int
    left: int
    left_bytes: int
    kept_in_use: int


def entries() -> list[Entry]:
    """Everything in the cache, least recently used first."""
    return _entries(held())


def _entries(in_use: set[str]) -> list[Entry]:
    found = [*_unpacked(), *_pulled()]
    for kind in KINDS:
        folder = entry_path(kind, "")
        for path in folder.iterdir():
            if path.name.endswith(".tmp"):
                continue
            with suppress(FileNotFoundError):
                found.append(
                    Entry(
                        kind=kind,
                        name=path.name,
                        size=_size(path),
                        used=path.stat().st_mtime,
                        in_use=f"{kind}/{path.name}" in in_use,
                    )
                )
    return sorted(found, key=lambda e: (e.used, e.kind, e.name))


def _unpacked() -> list[Entry]:
    """Layers that were unpacked to be run; whoever runs one holds its lock. The lock's time is that of its last use."""
    place = paths.cache() / "rootfs"
    return [
        _locked_entry("rootfs", path, place / "locks" / path.name)
        for path in (place / "layers").glob("*")
        if path.is_dir()
    ]


def _pulled() -> list[Entry]:
    """Images that were pulled to be looked at or run from the command line."""
    place = paths.cache() / "pulled"
    return [
        _locked_entry("pulled", path, path.with_suffix(".lock")) for path in place.glob("*") if path.is_dir()
    ]


def _locked_entry(kind: str, path: Path, lock: Path) -> Entry:
    used = max(path.stat().st_mtime, lock.stat().st_mtime if lock.exists() else 0.0)
    return Entry(kind=kind, name=path.name, size=_size(path), used=used, in_use=in_use(lock))


def prune(max_size: int) -> Pruned:
    """Remove what was not used for longest until at most `max_size` bytes are left; what is in use stays.

    An entry goes by a rename, so whoever looks finds it whole or not at all.
    """
    sweep()
    with pruning() as in_use:
        found = _entries(in_use)
        total, removed, freed = sum(e.size for e in found), 0, 0
        for entry in found:
            if total - freed <= max_size:
                break
            if not entry.in_use and _REMOVERS.get(entry.kind, _remove_held)(entry):
                removed, freed = removed + 1, freed + entry.size
    return Pruned(
        removed=removed,
        removed_bytes=freed,
        left=len(found) - removed,
        left_bytes=total - freed,
        kept_in_use=sum(e.in_use for e in found),
    )


def _remove_held(entry: Entry) -> bool:
    return _remove(entry_path(entry.kind, entry.name))


def _remove_unpacked(entry: Entry) -> bool:
    from seatrial.images import unpack

    return unpack.remove(entry.name)


def _remove_pulled(entry: Entry) -> bool:
    path = paths.cache() / "pulled" / entry.name
    lock = try_lock(path.with_suffix(".lock"))
    if lock is None:
        return False
    try:
        return _remove(path)
    finally:
        release(lock)


_REMOVERS: dict[str, Callable[[Entry], bool]] = {"rootfs": _remove_unpacked, "pulled": _remove_pulled}


def _remove(path: Path) -> bool:
    import secrets

    grave = paths.cache() / "scratch" / f"{secrets.token_hex(8)}.gone"
    grave.parent.mkdir(exist_ok=True)
    try:
        path.rename(grave)
    except FileNotFoundError:
        return False
    remove_tree(grave)
    return True


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(
        os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - strings from os.walk, many of them
        for folder, _, names in os.walk(path)
        for name in names
    )


def parse_size(text: str) -> int:
    """`500M`, `10G`, `2.5GiB` or a number of bytes.

    Raises:
        UsageError: it is none of these.
    """
    plain = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (plain[:-1], plain[-1]) if plain[-1:] in tuple("KMGT") else (plain, "")
    try:
        size = float(number)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1 << 60:
        raise UsageError(f"{text!r} is not a size", fix="write it as 500M or 10G")
    return int(size * _UNITS[unit])
