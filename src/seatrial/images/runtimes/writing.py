"""Write the members of one layer into a fresh folder, and nowhere else.

The folder is private and new, so what is in it is known: symbolic links are resolved against this knowledge,
inside the layer as if it were a root, before a path is given to the kernel. No path that reaches the kernel
has a symbolic link in it.
"""

# ruff: noqa: PTH101, PTH102, PTH108, PTH211 - tens of thousands of calls; pathlib is several times slower

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import remove_tree
from seatrial.images.rootfs import OPAQUE, Entry, LayerIndex
from seatrial.images.runtimes import tar

WHITEOUT = ".wh."
OPAQUE_MARK = ".wh..wh..opq"
_RESERVED = ".wh..wh."
_MAX_LINKS = 40


class Limits(msgspec.Struct, frozen=True):
    """What a layer may become; beyond it is taken for a decompression bomb.

    `ratio` (unpacked to packed) counts only beyond `free_bytes`: a small layer of zeros is harmless.
    """

    total_bytes: int = 200 << 30
    entries: int = 1_000_000
    ratio: int = 250
    free_bytes: int = 1 << 30


def write_layer(folder: Path, stream: tar.TarStream, diff_id: str, limits: Limits) -> LayerIndex:
    """Write every member below `folder` and return what the headers said.

    Raises:
        SeatrialError: the layer is damaged, links out of itself or has too many members.
        OSError: the file system refuses.
    """
    tree = _Tree(folder)
    for number, member in enumerate(stream.members()):
        if max(number, len(tree.entries)) >= limits.entries:
            raise SeatrialError(
                f"the layer has more than {limits.entries} members", why="it looks like a bomb"
            )
        tree.add(member, stream)
    tree.finish()
    return LayerIndex(diff_id, tuple(tree.entries.values()), tuple(tree.skipped))


class _Tree:
    def __init__(self, folder: Path) -> None:
        self.base = str(folder)
        self.entries: dict[str, Entry] = {"": Entry("", "d", 0o755)}
        self.skipped: list[str] = []
        self.times: dict[str, float] = {}

    def add(self, member: tar.Member, stream: tar.TarStream) -> None:
        parts = [p for p in member.name.split("/") if p not in ("", ".")]
        if not parts:
            if member.kind == tar.FOLDER:
                self._folder("", member)
            return
        if parts[-1] == "..":
            raise SeatrialError("the layer names a path outside of itself", where=member.name[:200])
        parent = self._folder_of(parts[:-1], member.name)
        name = parts[-1]
        if name.startswith(WHITEOUT):
            self._whiteout(parent, name)
            return
        path = f"{parent}/{name}" if parent else name
        match member.kind:
            case tar.FOLDER:
                self._folder(path, member)
            case tar.REGULAR:
                self._file(path, member, stream)
            case tar.SYMLINK:
                self._clear(path)
                os.symlink(member.link, self._host(path))
                self._note(path, "l", member, link=member.link)
                os.utime(self._host(path), (member.mtime, member.mtime), follow_symlinks=False)
            case tar.HARD_LINK:
                self._hard_link(path, member)
            case _:
                self.skipped.append(path)

    def finish(self) -> None:
        """Folder times last: writing into a folder changes them."""
        for path, mtime in self.times.items():
            if self.entries[path].kind == "d":
                os.utime(self._host(path), (mtime, mtime))

    def _host(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    def _note(self, path: str, kind: str, member: tar.Member, *, link: str = "") -> None:
        opaque = path in self.entries and self.entries[path].opaque and kind == "d"
        size = member.size if kind == "f" else 0
        self.entries[path] = Entry(path, kind, member.mode, member.uid, member.gid, size, link, opaque)

    def _folder_of(self, parts: list[str], shown: str) -> str:
        """Resolve a parent, following this layer's symbolic links inside the layer, making what is missing."""
        direct = "/".join(parts)
        known = self.entries.get(direct)
        if known is not None and known.kind == "d":
            return direct
        todo, done, links = list(reversed(parts)), "", 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            path = f"{done}/{part}" if done else part
            entry = self.entries.get(path)
            if entry is None or entry.kind == "w":
                self._implied(path)
            elif entry.kind == "l":
                links += 1
                if links > _MAX_LINKS:
                    raise SeatrialError("the layer has symbolic links in a circle", where=shown[:200])
                done = "" if entry.link.startswith("/") else done
                todo += reversed(entry.link.split("/"))
                continue
            elif entry.kind != "d":
                raise SeatrialError("the layer puts a file inside a file", where=shown[:200])
            done = path
        return done

    def _implied(self, path: str) -> None:
        hides = path in self.entries
        self._clear(path)
        os.mkdir(self._host(path))
        os.chmod(self._host(path), 0o755)  # noqa: S103 - whatever the umask
        self.entries[path] = Entry(path, "d", 0o755)
        if hides:
            self._make_opaque(path)

    def _folder(self, path: str, member: tar.Member) -> None:
        entry = self.entries.get(path)
        if entry is None or entry.kind != "d":
            self._clear(path)
            os.mkdir(self._host(path))
            if entry is not None and entry.kind == "w":
                self._make_opaque(path)
        os.chmod(self._host(path), (member.mode & 0o1777) | 0o700)
        self._note(path, "d", member)
        if entry is not None and entry.kind == "w":
            self._make_opaque(path)
        self.times[path] = member.mtime

    def _file(self, path: str, member: tar.Member, stream: tar.TarStream) -> None:
        self._clear(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._host(path), flags, 0o600)
        try:
            for piece in stream.content():
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, (member.mode & 0o777) | 0o600)
            os.utime(descriptor, (member.mtime, member.mtime))
        finally:
            os.close(descriptor)
        self._note(path, "f", member)

    def _hard_link(self, path: str, member: tar.Member) -> None:
        parts = [p for p in member.link.split("/") if p not in ("", ".")]
        if not parts or parts[-1] == "..":
            raise SeatrialError("the layer has a hard link to a folder", where=member.name[:200])
        parent = self._folder_of(parts[:-1], member.link)
        target = f"{parent}/{parts[-1]}" if parent else parts[-1]
        entry = self.entries.get(target)
        if entry is None or entry.kind not in "fl":
            raise SeatrialError(
                "the layer has a hard link to something that is not in it",
                where=f"{member.name[:200]} -> {member.link[:200]}",
            )
        if target == path:
            return
        self._clear(path)
        os.link(self._host(target), self._host(path), follow_symlinks=False)
        self.entries[path] = Entry(path, entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.link)

    def _whiteout(self, parent: str, name: str) -> None:
        if name == OPAQUE_MARK:
            self._make_opaque(parent)
            return
        hidden = name.removeprefix(WHITEOUT)
        if name.startswith(_RESERVED):
            return  # bookkeeping of aufs
        if hidden in ("", ".", ".."):
            raise SeatrialError("the layer has a whiteout of nothing", where=f"{parent}/{name}"[:200])
        path = f"{parent}/{hidden}" if parent else hidden
        entry = self.entries.get(path)
        if entry is None:
            os.mknod(self._host(path), stat.S_IFCHR | 0o600, os.makedev(0, 0))
            self.entries[path] = Entry(path, "w")
        elif entry.kind == "d":
            # A whiteout speaks of lower layers only: what this layer has stays.
            self._make_opaque(path)

    def _make_opaque(self, path: str) -> None:
        os.setxattr(self._host(path), OPAQUE, b"y")
        self.entries[path] = msgspec.structs.replace(self.entries[path], opaque=True)

    def _clear(self, path: str) -> None:
        """Make room: a later member replaces an earlier one."""
        entry = self.entries.pop(path, None)
        if entry is None:
            return
        host = self._host(path)
        if entry.kind != "d":
            os.unlink(host)
            return
        with suppress(OSError):
            os.chmod(host, 0o700)
        remove_tree(Path(host))
        inside = path + "/"
        for other in [p for p in self.entries if p.startswith(inside)]:
            del self.entries[other]
            self.times.pop(other, None)
        self.times.pop(path, None)
