"""A folder of wheels as a page of links with their hashes.

Given the folder itself uv reads and hashes every file each time, in small pieces: 0.7 s for 300 MB. A file is hashed
here once, and again when its size or its times change.
"""

from __future__ import annotations

import hashlib
import html
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from seatrial.files import write_atomic
from seatrial.images.assemble.store import entry_path

if TYPE_CHECKING:
    from pathlib import Path

_FILES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


class _Hashed(msgspec.Struct, frozen=True):
    """What a file was like when it was hashed."""

    size: int
    changed: tuple[int, int]
    inode: int
    sha256: str


def page(folder: Path) -> str:
    """HTML that names the archives of `folder` by their addresses on this machine, with their sha256.

    Source: PEP 503, whose fragment of a link is the hash of the file.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and _is_archive(entry.name))
    hashes = _hashes(folder, names)
    links = [
        f'<a href="{html.escape((folder / name).as_uri())}#sha256={hashes[name]}">{html.escape(name)}</a>'
        for name in names
    ]
    return "\n".join(["<!DOCTYPE html>", "<html><body>", *links, "</body></html>", ""])


def _is_archive(name: str) -> bool:
    return name.endswith(_FILES)


def _hashes(folder: Path, names: list[str]) -> dict[str, str]:
    place = entry_path("known", f"folder-{hashlib.sha256(os.fsencode(folder)).hexdigest()}")
    try:
        kept = msgspec.msgpack.decode(place.read_bytes(), type=dict[str, _Hashed])
        os.utime(place)  # what was used last is pruned last
    except (OSError, msgspec.MsgspecError):
        kept = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(
            zip(names, pool.map(lambda name: _hashed(folder / name, kept.get(name)), names), strict=True)
        )
    if found != kept:
        write_atomic(place, msgspec.msgpack.encode(found))
    return {name: one.sha256 for name, one in found.items()}


def _hashed(path: Path, before: _Hashed | None) -> _Hashed:
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        changed = (state.st_mtime_ns, state.st_ctime_ns)
        if before is not None and (before.size, before.changed, before.inode) == (
            state.st_size, changed, state.st_ino,
        ):  # fmt: skip
            return before
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return _Hashed(state.st_size, changed, state.st_ino, digest)
