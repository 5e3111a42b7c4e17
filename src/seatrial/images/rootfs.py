"""The layer store, and the root that an image's layers make together.

The store is `rootfs/` in the cache:

    layers/ID/        the layer's files; present only when complete; ID is 20 digits of the diff_id, because
                      overlay takes the names of all lower folders in one page
    index/ID          what the tar headers said (`LayerIndex`), since owners cannot be set without root
    locks/ID          shared by those who use the layer, exclusive for whoever makes or removes it
    tmp/ID.*          layers being unpacked; what a killed process left is removed by the next one
    mnt/              an empty folder to mount on, each time in a mount namespace of its own
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks, paths
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree
from seatrial.images import layout as oci

if TYPE_CHECKING:
    from collections.abc import Iterator

ID_LENGTH = 20
FORMAT = 1
OPAQUE = "user.overlay.opaque"
_MAX_LINKS = 40


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A tar header: `path` without leading slash; `kind` is f(ile), d(irectory), l(ink) or w(hiteout).

    `mode`, `uid` and `gid` are the header's; `size` in bytes; `link` is a symbolic link's target; an `opaque`
    folder hides what lower layers have in it.
    """

    path: str
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    link: str = ""
    opaque: bool = False


class LayerIndex(msgspec.Struct, frozen=True, array_like=True):
    """What a layer holds. `skipped` are device nodes and pipes that were left out."""

    diff_id: str
    entries: tuple[Entry, ...]
    skipped: tuple[str, ...] = ()
    format: int = FORMAT


class Root(msgspec.Struct, frozen=True):
    """An image whose layers are in the store: `layers` are short names, lowest first.

    `layout` is the folder that it came from, for engines that keep images in a store of their own.
    """

    digest: str
    store: str
    layers: tuple[str, ...]
    config: dict[str, Any]
    layout: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The part of the image's configuration that says how it runs (`Env`, `User`, `Entrypoint`, …)."""
        return self.config.get("config") or {}

    def folder(self, layer: str) -> Path:
        """Where a layer's files lie. Never write there."""
        return Path(self.store) / "layers" / layer


def store() -> Path:
    """The layer store, made when absent."""
    folder = paths.cache() / "rootfs"
    for name in ("layers", "index", "locks", "tmp", "mnt"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """An empty folder in the store for the length of a block; `unpack.sweep` removes what a killed process left."""
    place = store()
    name = f"{kind}-{secrets.token_hex(6)}"
    lock_file = place / "locks" / name
    lock = locks.wait_lock(lock_file)
    folder = place / "tmp" / f"{name}.root"
    try:
        folder.mkdir(mode=0o755)
        yield folder
    finally:
        remove_tree(folder)
        lock_file.unlink(missing_ok=True)
        os.close(lock)


def layer_id(diff_id: str) -> str:
    """The short name of a layer in the store."""
    return oci.check_digest(diff_id).removeprefix("sha256:")[:ID_LENGTH]


def read_layer_index(place: Path, identity: str) -> LayerIndex:
    """The headers of a layer in the store.

    Raises:
        SeatrialError: it is not there.
    """
    try:
        return msgspec.msgpack.decode((place / "index" / identity).read_bytes(), type=LayerIndex)
    except (FileNotFoundError, msgspec.MsgspecError) as error:
        raise SeatrialError(
            f"layer {identity} is not in the layer store", where=str(place), fix="run the command again"
        ) from error


def merged(root: Root) -> dict[str, tuple[str, Entry]]:
    """Every path a process would see in the root, with the layer it comes from and its header."""
    seen: dict[str, tuple[str, Entry]] = {}
    for layer in root.layers:
        index = read_layer_index(Path(root.store), layer)
        hidden = {e.path for e in index.entries if e.kind == "w" or e.opaque}
        replaced = {
            e.path for e in index.entries if e.kind in "fl" and e.path in seen and seen[e.path][1].kind == "d"
        }
        if hidden or replaced:
            whole = {e.path for e in index.entries if e.kind == "w"} | replaced
            seen = {p: v for p, v in seen.items() if p not in whole and not _inside(p, hidden | replaced)}
        seen.update({e.path: (layer, e) for e in index.entries if e.kind != "w"})
    return seen


def _inside(path: str, folders: set[str]) -> bool:
    cut = path.rfind("/")
    while cut > 0:
        if path[:cut] in folders:
            return True
        cut = path.rfind("/", 0, cut)
    return "" in folders and bool(path)


def locate(root: Root, path: str) -> tuple[str, Path | None]:
    """Follow symbolic links inside the root, as a process in it would.

    Returns the resolved absolute path in the root, and the file in the store or None when nothing is there.
    """
    todo = [p for p in reversed(path.split("/")) if p not in ("", ".")]
    done: list[str] = []
    links = 0
    found: Path | None = _entry(root, [])
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            found = _entry(root, done)
            continue
        found = _entry(root, [*done, part])
        if found is not None and found.is_symlink():
            links += 1
            if links > _MAX_LINKS:
                return "/" + "/".join([*done, part, *reversed(todo)]), None
            target = str(found.readlink())
            if target.startswith("/"):
                done = []
            todo += [p for p in reversed(target.split("/")) if p not in ("", ".")]
            found = _entry(root, done)
            continue
        done.append(part)
    return "/" + "/".join(done), found


def _entry(root: Root, parts: list[str]) -> Path | None:
    """The topmost layer's entry at a path without symbolic links in it."""
    base = f"{root.store}/layers/"
    for layer in reversed(root.layers):
        place = base + layer
        kind = _kind(place)
        hides = kind == "opaque"
        for part in parts:
            if kind not in ("folder", "opaque"):
                break
            place = f"{place}/{part}"
            kind = _kind(place)
            if kind == "":
                break
            hides = hides or kind == "opaque"
        else:
            return None if kind in ("", "whiteout") else Path(place)
        if kind != "" or hides:
            return None  # a whiteout, or a file where a folder is asked for, hides what is below it
    return None


def forget() -> None:
    """Look again: a layer has come or gone."""
    _kind.cache_clear()


@lru_cache(maxsize=1 << 16)
def _kind(place: str) -> str:
    """What lies there: folder, opaque (folder), whiteout, other, or nothing.

    Kept, since layers never change: with 60 of them a single look-up asks the kernel hundreds of times.
    """
    try:
        mode = os.lstat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISCHR(mode):
        return "whiteout"
    if not stat.S_ISDIR(mode):
        return "other"
    try:
        return "opaque" if os.getxattr(place, OPAQUE) == b"y" else "folder"
    except OSError:
        return "folder"
