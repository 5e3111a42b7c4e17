"""Every file of an image with its hashes, read from the layers as they are: nothing is unpacked, nothing is started."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images import base_tree
from seatrial.images.assemble.store import entry_path
from seatrial.images.layout import blob_path, diff_ids
from seatrial.images.runtimes import tar
from seatrial.images.unpack import verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from seatrial.images.layout import Descriptor, Image

_FORMAT = 2
_MAX_NAMES = 1_500_000
_MAX_TEXT, _MAX_TEXTS = 32 << 20, 256 << 20
# What says which packages there are and what belongs to them.
_TEXTS = re.compile(
    r"\.dist-info/(?:METADATA|RECORD|direct_url\.json)$"
    r"|\.egg$|\.egg-info/(?:PKG-INFO|installed-files\.txt)$|\.egg-info$|/EGG-INFO/PKG-INFO$"
    r"|^/var/lib/dpkg/(?:status|diversions|status\.d/[^/]+|info/[^/]+\.(?:list|md5sums))$"
    r"|^/usr/share/doc/[^/]+/copyright$"
    r"|/conda-meta/[^/]+\.json$|/node_modules/(?:@[^/]+/)?[^/]+/package\.json$"
    r"|^/(?:usr/)?lib/apk/db/installed$|^/(?:etc|usr/lib)/os-release$"
)
# Where Debian's packages put files; their own lists have MD5 and nothing better.
_SYSTEM = re.compile(r"^/(?:usr/(?!local/)|bin/|sbin/|lib|etc/)")


class Item(NamedTuple):
    """A path of an image. `kind` is file, folder, link or other; hashes are raw bytes, empty when there is none.

    `layer` counts from 0, the lowest; `size` is in bytes.
    """

    kind: str
    size: int = 0
    mode: int = 0
    sha256: bytes = b""
    sha1: bytes = b""
    md5: bytes = b""
    link: str = ""
    layer: int = -1


class LayerSum(NamedTuple):
    """What one layer brings: its files, their bytes, and the paths that it takes away."""

    files: int
    size: int
    removed: int


class Content(msgspec.Struct, frozen=True):
    """The file system of an image: absolute paths, the texts that describe packages, and each layer in numbers."""

    items: dict[str, Item]
    texts: dict[str, bytes]
    layers: tuple[LayerSum, ...]
    ordered: list[str]
    links: dict[str, str]
    folders: dict[str, str]

    def below(self, folder: str) -> Iterator[str]:
        """Every path under `folder`, in order."""
        return self.starting(folder.rstrip("/") + "/")

    def starting(self, prefix: str) -> Iterator[str]:
        """Every path that begins with `prefix`, in order."""
        for index in range(bisect_left(self.ordered, prefix), len(self.ordered)):
            if not self.ordered[index].startswith(prefix):
                return
            yield self.ordered[index]

    def real(self, path: str) -> str:
        """`path` with the links in its folders followed, as Debian's `/bin/ls` is `/usr/bin/ls`."""
        folder, name = posixpath.split(posixpath.normpath("/" + path.lstrip("/")))
        found = self.folders.get(folder)
        if found is None:
            found = self.folders[folder] = _resolved(self.links, folder)
        return posixpath.join(found, name)

    def text(self, path: str) -> str:
        """The text at `path`, also where a link leads to; empty when there is none."""
        for _ in range(8):
            path = self.real(path)
            item = self.items.get(path)
            if item is None or item.kind != "link":
                break
            path = posixpath.join(posixpath.dirname(path), item.link)
        return self.texts.get(path, b"").decode("utf-8", "replace")


class _Layer(msgspec.Struct, frozen=True):
    added: dict[str, Item]
    texts: dict[str, bytes]
    deleted: set[str]
    opaque: set[str]


def read_content(layout: Path, image: Image, *, say: Callable[[str], None] = lambda _what: None) -> Content:
    """Read all layers, lowest first, honouring whiteouts. What a layer holds is kept in the cache by its diff_id.

    Raises:
        SeatrialError: a layer is damaged, hostile, or compressed in a way that is not known.
    """
    known: dict[str, Item] = {}
    texts: dict[str, bytes] = {}
    sums: list[LayerSum] = []
    pairs = list(zip(image.manifest.layers, diff_ids(image), strict=True))
    for number, (layer, diff_id) in enumerate(pairs):
        say(f"reading layer {number + 1} of {len(pairs)}")
        found = _layer(layout, layer, diff_id)
        added = {path: _own(item, found, known, number) for path, item in found.added.items()}
        for path in added.keys() & texts.keys():
            del texts[path]
        texts.update(found.texts)
        if sum(map(len, texts.values())) > _MAX_TEXTS:
            raise SeatrialError(
                "the image's lists of packages are too large", where=image.digest, why="it looks like a bomb"
            )
        files = [item for item in added.values() if item.kind == "file"]
        removed = sum(path in known for path in found.deleted | found.opaque)
        sums.append(LayerSum(len(files), sum(item.size for item in files), removed))
        known = base_tree.lay_over(known, added, found.deleted, found.opaque, Item("folder", layer=number))
        if len(known) > _MAX_NAMES:
            raise SeatrialError(
                f"the image has more than {_MAX_NAMES} files", where=image.digest, why="it looks like a bomb"
            )
    folders: dict[str, str] = {}
    links = {path: item.link for path, item in known.items() if item.kind == "link"}
    known = _settled(known, texts, links, folders)
    texts = {path: text for path, text in texts.items() if known.get(path, Item("")).kind == "file"}
    return Content(known, texts, tuple(sums), sorted(known), links, folders)


def _own(item: Item, layer: _Layer, known: Mapping[str, Item], number: int) -> Item:
    """The item as one of this layer; a hard link has the content of what it names."""
    if item.kind == "hard":
        target = layer.added.get(item.link) or known.get(item.link) or Item("file")
        item = target._replace(mode=item.mode or target.mode, kind="file", link="")
    return item._replace(layer=number)


def _settled(
    known: dict[str, Item], texts: dict[str, bytes], links: Mapping[str, str], folders: dict[str, str]
) -> dict[str, Item]:
    """Every path where it really lies: a layer may write through a folder that a lower one made a link."""
    moved: dict[str, str] = {}
    for path in known:
        folder, name = posixpath.split(path)
        real = folders.get(folder)
        if real is None:
            real = folders[folder] = _resolved(links, folder)
        if real != folder:
            moved[path] = posixpath.join(real, name)
    for path, place in moved.items():
        item = known.pop(path)
        if place not in known or known[place].layer <= item.layer:
            known[place] = item
            if path in texts:
                texts[place] = texts[path]
    return known


def _resolved(links: Mapping[str, str], folder: str) -> str:
    part = folder
    while part not in ("", "/") and part not in links:
        part = posixpath.dirname(part)
    if part in ("", "/"):
        return folder
    try:
        return base_tree.follow(links, folder)
    except SeatrialError:  # a circle leads nowhere, so nothing lies there
        return folder


def _layer(layout: Path, layer: Descriptor, diff_id: str) -> _Layer:
    from isal import isal_zlib

    broken: Any = isal_zlib.error
    place = entry_path("known", hashlib.sha256(f"content {_FORMAT} {diff_id}".encode()).hexdigest())
    with suppress(OSError, msgspec.MsgspecError, broken):
        found = msgspec.msgpack.decode(isal_zlib.decompress(place.read_bytes()), type=_Layer)
        os.utime(place)  # what was used last is pruned last
        return found
    with verified(blob_path(layout, layer.digest), layer, diff_id) as stream:
        found = _read(stream)
    with suppress(SeatrialError):  # a full disk: it is read again next time
        write_atomic(place, isal_zlib.compress(msgspec.msgpack.encode(found), 1), mode=0o600)
    return found


def _read(stream: tar.TarStream) -> _Layer:
    found = _Layer({}, {}, set(), set())
    kept = 0
    for member in stream.members():
        path = base_tree.absolute(_readable(member.name))
        folder, name = posixpath.split(path)
        if len(found.added) > _MAX_NAMES:
            raise SeatrialError(f"the layer has more than {_MAX_NAMES} files", why="it looks like a bomb")
        if name == ".wh..wh..opq":
            found.opaque.add(folder)
        elif name.startswith(".wh."):
            found.deleted.add(f"{folder.rstrip('/')}/{name[4:]}")
        elif member.kind == tar.REGULAR:
            text: list[bytes] | None = [] if member.size <= _MAX_TEXT and _TEXTS.search(path) else None
            found.added[path] = _hashed(stream, member, path, text)
            found.texts.pop(path, None)
            if text is not None:
                found.texts[path] = b"".join(text)
                kept += member.size
        else:
            found.added[path] = _without_content(member)
        if kept > _MAX_TEXTS:
            raise SeatrialError("the layer's lists of packages are too large", why="it looks like a bomb")
    return found


def _without_content(member: tar.Member) -> Item:
    if member.kind == tar.FOLDER:
        return Item("folder", mode=member.mode)
    if member.kind == tar.SYMLINK:
        return Item("link", link=_readable(member.link))
    if member.kind == tar.HARD_LINK:
        return Item("hard", link=base_tree.absolute(_readable(member.link)))
    return Item("other", mode=member.mode)


def _hashed(stream: tar.TarStream, member: tar.Member, path: str, text: list[bytes] | None) -> Item:
    # SPDX wants SHA-1 of every file, and Debian has MD5 of its own: neither protects anything here.
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    md5 = hashlib.md5(usedforsecurity=False) if _SYSTEM.match(path) else None
    for piece in stream.content():
        sha256.update(piece)
        sha1.update(piece)
        if md5 is not None:
            md5.update(piece)
        if text is not None:
            text.append(piece)
    return Item(
        "file", member.size, member.mode, sha256.digest(), sha1.digest(), md5.digest() if md5 else b""
    )


def _readable(name: str) -> str:
    """A name as text that JSON can hold: bytes that are no UTF-8 are shown as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
