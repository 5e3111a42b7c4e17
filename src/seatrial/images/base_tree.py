"""What a base image holds, read from its layers without unpacking them."""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.layout import blob_path, diff_ids
from seatrial.images.runtimes import tar
from seatrial.images.unpack import verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from seatrial.images.layout import Image

Kinded = TypeVar("Kinded", bound=tuple[Any, ...])
_CAPTURED = ("/etc/passwd", "/etc/group", "/etc/os-release", "/usr/lib/os-release")
_RECORDS = (".dist-info/RECORD", ".egg-info/installed-files.txt")
_CAPTURE_LIMIT, _CAPTURE_TOTAL = 32 << 20, 256 << 20
_MAX_NAMES, _MAX_NAME_BYTES = 1_500_000, 256 << 20
_MAX_EXTRACTED = 4 << 30
_MAX_LINKS = 40  # as the kernel's


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths of a root file system: folders, symbolic links with their targets, files, and packages.

    `programs` are files in folders named `bin`; `files` all that are not folders or symbolic links (a tree that
    `probe` remembers keeps those where packages are installed); `texts` the content of account files, os-release
    and of what lists the files of Python distributions; `eggs` are distributions in the old form.
    """

    folders: set[str]
    links: dict[str, str]
    programs: set[str]
    texts: dict[str, bytes]
    eggs: set[str]
    files: set[str] = set()


class _Found(msgspec.Struct, frozen=True):
    """What a layer does: paths it deletes, folders whose former content it hides, and path → (kind, value)."""

    deleted: set[str]
    opaque: set[str]
    added: dict[str, tuple[str, bytes]]


def read_tree(layout: Path, image: Image) -> Tree:
    """Read all layers, lowest first, honouring whiteouts, and compare each with its digests.

    Raises:
        SeatrialError: a layer is damaged, hostile, or compressed in a way that is not known.
    """
    known: dict[str, tuple[str, bytes]] = {}
    for layer, diff_id in zip(image.manifest.layers, diff_ids(image), strict=True):
        with verified(blob_path(layout, layer.digest), layer, diff_id) as stream:
            found = _read_layer(stream)
            known = lay_over(known, found.added, found.deleted, found.opaque, ("folder", b""))
        if len(known) > _MAX_NAMES or sum(map(len, known)) > _MAX_NAME_BYTES:
            raise SeatrialError(
                f"the base has more than {_MAX_NAMES} files", where=image.digest, why="it looks like a bomb"
            )
    files = {path for path, (kind, _) in known.items() if kind == "file"}
    return Tree(
        folders={path for path, (kind, _) in known.items() if kind == "folder"},
        links={path: os.fsdecode(value) for path, (kind, value) in known.items() if kind == "link"},
        programs={path for path in files if posixpath.basename(posixpath.dirname(path)) == "bin"},
        texts={path: value for path, (kind, value) in known.items() if kind == "file" and value},
        eggs={path for path, (kind, _) in known.items() if path.endswith(".egg-info") and kind != "link"},
        files=files,
    )


def _read_layer(stream: tar.TarStream) -> _Found:
    found = _Found(set(), set(), {})
    names = captured = 0
    for member in stream.members():
        path = absolute(member.name)
        folder, name = posixpath.split(path)
        names += len(path)
        if len(found.added) > _MAX_NAMES or names > _MAX_NAME_BYTES:
            raise SeatrialError(f"the layer has more than {_MAX_NAMES} files", why="it looks like a bomb")
        if name == ".wh..wh..opq":
            found.opaque.add(folder)
        elif name.startswith(".wh."):
            found.deleted.add(f"{folder.rstrip('/')}/{name[4:]}")
        elif member.kind == tar.FOLDER:
            found.added[path] = ("folder", b"")
        elif member.kind == tar.SYMLINK:
            found.added[path] = ("link", os.fsencode(member.link))
        elif member.kind in (tar.REGULAR, tar.HARD_LINK):
            text = _capture(stream, member, path)
            captured += len(text)
            if captured > _CAPTURE_TOTAL:
                raise SeatrialError(
                    "the layer's lists of installed files are too large", why="it looks like a bomb"
                )
            found.added[path] = ("file", text)
    return found


def _capture(stream: tar.TarStream, member: tar.Member, path: str) -> bytes:
    if path not in _CAPTURED and not path.endswith(_RECORDS):
        return b""
    if member.kind != tar.REGULAR or member.size > _CAPTURE_LIMIT:
        return b""
    return b"".join(stream.content())


def lay_over(
    known: dict[str, Kinded], added: dict[str, Kinded], deleted: set[str], opaque: set[str], folder: Kinded
) -> dict[str, Kinded]:
    """The tree with one more layer on top; each value begins with its kind, and `folder` is a folder nobody described.

    What is no folder hides all that was below its path.

    Raises:
        SeatrialError: the folders are nested so deep that it looks like an attack.
    """
    gone = deleted | {path for path, value in added.items() if value[0] != "folder"}
    hidden = {path for path in gone | opaque if path in known and known[path][0] == "folder"}
    for path in gone:
        known.pop(path, None)
    if hidden:
        known = {path: value for path, value in known.items() if not any(f in hidden for f in _above(path))}
    known.update(added)
    implied = 0
    for path in added:
        for above in _above(path):
            if above in known and known[above][0] != "file":
                break
            known[above] = folder  # engines make the folders that an archive leaves out
            implied += len(above)
        if implied > _MAX_NAME_BYTES:
            raise SeatrialError("the layer's folders are nested too deep", why="it looks like a bomb")
    return known


def _above(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path


def resolve(tree: Tree, path: str) -> str:
    """Follow every symbolic link in `path`, staying within the image's root.

    Raises:
        SeatrialError: the links go in a circle.
    """
    return follow(tree.links, path)


def follow(links: Mapping[str, str], path: str) -> str:
    """As `resolve`; `links` has the target of each symbolic link by its absolute path.

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
        target = links.get(f"{done}/{part}")
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

    Raises:
        SeatrialError: the links go in a circle, or the files are more than any interpreter's.
    """
    links: dict[str, str] = {}
    room = _MAX_EXTRACTED
    for layer, diff_id in zip(image.manifest.layers, diff_ids(image), strict=True):
        with verified(blob_path(layout, layer.digest), layer, diff_id) as stream:
            room -= _extract_layer(stream, tree, root, wanted, links, room)
    # A link that a wanted path goes through is needed too, such as /lib → usr/lib.
    links |= {path: target for path, target in tree.links.items() if path.count("/") == 1}
    for path, target in links.items():
        place = root / (resolve(tree, posixpath.dirname(path)) + "/" + posixpath.basename(path)).lstrip("/")
        if tree.links.get(path) == target and not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)


def _extract_layer(
    stream: tar.TarStream,
    tree: Tree,
    root: Path,
    wanted: Callable[[str], bool],
    links: dict[str, str],
    room: int,
) -> int:
    """Write a layer's files, note its links, and return the bytes written."""
    size = 0
    for member in stream.members():
        path = absolute(member.name)
        if not wanted(path):
            continue
        if member.kind == tar.SYMLINK:
            links[path] = member.link
        elif member.kind in (tar.REGULAR, tar.HARD_LINK) and path in tree.files:
            size += member.size if member.kind == tar.REGULAR else 0
            if size > room:
                raise SeatrialError("the base's Python is too large", why=f"more than {_MAX_EXTRACTED} bytes")
            _extract_file(stream, member, root, resolve(tree, posixpath.dirname(path)), path)
    return size


def _extract_file(stream: tar.TarStream, member: tar.Member, root: Path, folder: str, path: str) -> None:
    place = root / folder.lstrip("/") / posixpath.basename(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        raise SeatrialError("the layer has a file and a folder of the same name", where=path)
    place.unlink(missing_ok=True)
    if member.kind == tar.HARD_LINK:
        source = root / absolute(member.link).lstrip("/")
        if source.is_file() and not source.is_symlink():
            shutil.copy2(source, place)
        return
    with place.open("wb") as out:
        for piece in stream.content():
            out.write(piece)
    place.chmod(0o755 if member.mode & 0o111 else 0o644)


def absolute(name: str) -> str:
    """The member `./usr/bin/` as `/usr/bin`, never outside of the root."""
    return posixpath.normpath("/" + name).replace("//", "/")
