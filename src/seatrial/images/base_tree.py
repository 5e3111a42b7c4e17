"""What a base image holds, read from its layers without unpacking them."""

from __future__ import annotations

import os
import posixpath
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.layout import Descriptor, Image, blob_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CAPTURED = ("/etc/passwd", "/etc/group", "/etc/os-release", "/usr/lib/os-release")
_CAPTURE_LIMIT = 32 << 20
_MAX_LINKS = 40  # as the kernel's


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths of a root file system: folders, symbolic links with their targets, programs and packages.

    `programs` are files in folders named `bin`; `texts` the content of account files, os-release and of every
    Python distribution's RECORD; `eggs` are distributions that have none.
    """

    folders: set[str]
    links: dict[str, str]
    programs: set[str]
    texts: dict[str, bytes]
    eggs: set[str]


def read_tree(layout: Path, image: Image) -> Tree:
    """Read all layers, lowest first, honouring whiteouts.

    Raises:
        SeatrialError: a layer is damaged or compressed in a way that is not known.
    """
    tree = Tree(folders=set(), links={}, programs=set(), texts={}, eggs=set())
    for layer in image.manifest.layers:
        deleted, opaque, added = _read_layer(layout, layer)
        for path in deleted:
            _forget(tree, path, itself=True)
        for path in opaque:
            _forget(tree, path, itself=False)
        for kind, path, value in added:
            _add(tree, kind, path, value)
    return tree


def _read_layer(layout: Path, layer: Descriptor) -> tuple[list[str], list[str], list[tuple[str, str, bytes]]]:
    deleted: list[str] = []
    opaque: list[str] = []
    added: list[tuple[str, str, bytes]] = []
    with open_layer(layout, layer) as archive:
        for member in archive:
            path = absolute(member.name)
            folder, name = posixpath.split(path)
            if name == ".wh..wh..opq":
                opaque.append(folder)
            elif name.startswith(".wh."):
                deleted.append(f"{folder}/{name[4:]}")
            elif member.isdir():
                added.append(("folder", path, b""))
            elif member.issym():
                added.append(("link", path, os.fsencode(member.linkname)))
            else:
                added.append(("file", path, _capture(archive, member, path)))
    return deleted, opaque, added


def _capture(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    wanted = path in _CAPTURED or path.endswith(".dist-info/RECORD")
    stream = (
        archive.extractfile(member) if wanted and member.isreg() and member.size < _CAPTURE_LIMIT else None
    )
    return stream.read() if stream else b""


def _add(tree: Tree, kind: str, path: str, value: bytes) -> None:
    parent = posixpath.dirname(path)
    while parent not in tree.folders and parent not in tree.links and parent != "/":
        tree.folders.add(parent)  # engines make the folders that an archive leaves out
        parent = posixpath.dirname(parent)
    if kind == "folder":
        tree.links.pop(path, None)
        tree.folders.add(path)
        if path.endswith(".egg-info"):
            tree.eggs.add(path)
        return
    if path in tree.folders or path in tree.links:
        _forget(tree, path, itself=True)
    if kind == "link":
        tree.links[path] = os.fsdecode(value)
        return
    if value:
        tree.texts[path] = value
    if posixpath.basename(posixpath.dirname(path)) == "bin":
        tree.programs.add(path)
    if path.endswith(".egg-info"):
        tree.eggs.add(path)


def _forget(tree: Tree, path: str, *, itself: bool) -> None:
    def gone(known: str) -> bool:
        return known.startswith(path + "/") or (itself and known == path)

    for paths in (tree.folders, tree.programs, tree.eggs):
        paths.difference_update([p for p in paths if gone(p)])
    for table in (tree.links, tree.texts):
        for known in [p for p in table if gone(p)]:
            del table[known]


def resolve(tree: Tree, path: str) -> str:
    """Follow every symbolic link in `path`, staying within the image's root.

    Raises:
        SeatrialError: the links go in a circle.
    """
    waiting, done, followed = path.strip("/").split("/"), "", 0
    while waiting:
        part = waiting.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = posixpath.dirname(done).rstrip("/")
            continue
        target = tree.links.get(f"{done}/{part}")
        if target is None:
            done = f"{done}/{part}"
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise SeatrialError(f"symbolic links of the base go in a circle at {path}")
        if target.startswith("/"):
            done = ""
        waiting = [*target.split("/"), *waiting]
    return done or "/"


def extract(layout: Path, image: Image, tree: Tree, root: Path, wanted: Callable[[str], bool]) -> None:
    """Write the regular files and links of the image for which `wanted(path)` holds below `root`.

    No path is followed through a link while writing: parents are resolved beforehand, links come last.
    """
    links: dict[str, str] = {}
    for layer in image.manifest.layers:
        with open_layer(layout, layer) as archive:
            for member in archive:
                path = absolute(member.name)
                if not wanted(path):
                    continue
                if member.issym():
                    links[path] = member.linkname
                elif member.isreg() or member.islnk():
                    _extract_file(archive, member, root, resolve(tree, posixpath.dirname(path)), path)
    # A link that a wanted path goes through is needed too, such as /lib → usr/lib.
    links |= {path: target for path, target in tree.links.items() if path.count("/") == 1}
    for path, target in links.items():
        place = root / (resolve(tree, posixpath.dirname(path)) + "/" + posixpath.basename(path)).lstrip("/")
        if tree.links.get(path) == target and not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)


def _extract_file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, folder: str, path: str
) -> None:
    import shutil

    place = root / folder.lstrip("/") / posixpath.basename(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if member.islnk():
        source = root / absolute(member.linkname).lstrip("/")
        if source.is_file() and not source.is_symlink():
            shutil.copy2(source, place)
        return
    stream = archive.extractfile(member)
    if stream is not None:
        with place.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        place.chmod(0o755 if member.mode & 0o111 else 0o644)


def absolute(name: str) -> str:
    """The member `./usr/bin/` as `/usr/bin`, never outside of the root."""
    return posixpath.normpath("/" + name).replace("//", "/")


@contextmanager
def open_layer(layout: Path, layer: Descriptor) -> Iterator[tarfile.TarFile]:
    """Read a layer as a stream of members.

    Raises:
        SeatrialError: it is damaged or compressed in a way that is not known.
    """
    from isal import igzip

    if not layer.media_type.endswith((".tar", ".tar+gzip", ".tar.gzip")):
        raise SeatrialError(
            f"layer {layer.digest} of the base has the type {layer.media_type}",
            why="only plain and gzip layers are read",
            fix="choose another tag of the base, or convert it with `skopeo copy --dest-compress-format gzip`",
        )
    with blob_path(layout, layer.digest).open("rb") as raw:
        stream: Any = igzip.IGzipFile(None, "rb", fileobj=raw) if "gzip" in layer.media_type else raw  # type: ignore[no-untyped-call]
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
                yield archive
        except (tarfile.TarError, EOFError, igzip.BadGzipFile) as error:
            raise SeatrialError(f"layer {layer.digest} of the base is damaged: {error}") from error
