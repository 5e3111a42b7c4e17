"""Unpacking a source archive with suspicion: every file lands in the one folder that the archive has at its top.

Source: PEP 517 and PEP 625 (one top folder), POSIX pax, and APPNOTE.TXT of the zip format.
"""

from __future__ import annotations

import bz2
import calendar
import gzip
import lzma
import os
import posixpath
import shutil
import stat
import zipfile
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images.assemble.tar import EPOCH
from seatrial.images.building.model import SourceError
from seatrial.images.runtimes import tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MAX_FILES = 200_000
_MAX_BYTES = 8 << 30
# Source code packs 10 to 1 or less; test data may pack better, but not the whole of an archive.
_BOMB_RATIO, _BOMB_FLOOR = 100, 256 << 20
_CHUNK = 1 << 20
_XZ_MEMORY = 512 << 20
_LONGEST = 4096
_ENCRYPTED = 0x1


class Member(NamedTuple):
    """One member: `kind` is f(ile), d(irectory), l(ink) or h(ard link); `link` its target; `mtime` in seconds."""

    name: str
    kind: str
    mode: int
    mtime: float
    link: str = ""
    content: Iterable[bytes] = ()


def unpack_source(archive: Path, folder: Path, filename: str) -> Path:
    """Unpack into the empty `folder` and return the source's own folder in it.

    Times are the archive's, modes 0644 or 0755. `filename` is how errors name the archive.

    Raises:
        SourceError: it is damaged, of an unknown kind, or tries to reach out of its folder.
    """
    unpacked = _Unpacked(folder, filename, archive.stat().st_size)
    try:
        for member in _members(archive, filename):
            unpacked.add(member)
    except SourceError:
        raise
    except SeatrialError as error:  # what reads tar streams speaks of layers
        why = (error.why or error.what).replace("the layer", "the archive")
        raise refuse(
            filename, f"{why}: {error.where!r}" if error.where else f"it is damaged: {why}"
        ) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise refuse(filename, f"it cannot be read: {error}") from error
    except OSError as error:
        # gzip and bz2 raise a bare OSError for damage; one of the system's has a number.
        if error.errno:
            raise
        raise refuse(filename, f"it cannot be read: {error}") from error
    return unpacked.finish()


def refuse(filename: str, why: str) -> SourceError:
    return SourceError(
        "this source archive is refused", where=filename, why=why,
        fix="get it from a source you trust, or choose another version",
    )  # fmt: skip


def _members(archive: Path, filename: str) -> Iterator[Member]:
    with archive.open("rb") as stream:
        head = stream.read(6)
        stream.seek(0)
        if head.startswith(b"PK"):
            yield from _zip_members(stream, filename)
        elif head.startswith(b"\x1f\x8b"):
            yield from _tar_members(gzip.GzipFile(fileobj=stream), filename)
        elif head.startswith(b"BZh"):
            yield from _tar_members(bz2.BZ2File(stream), filename)
        elif head.startswith(b"\xfd7zXZ\0"):
            yield from _tar_members(_Xz(stream), filename)
        else:
            raise refuse(filename, "it is no archive of a kind that is known: tar.gz, tar.bz2, tar.xz or zip")


class _Xz:
    """As `lzma.LZMAFile`, with a limit for the memory that an archive may ask for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while not self._inner.eof:
            packed = self._stream.read(_CHUNK) if self._inner.needs_input else b""
            if self._inner.needs_input and not packed:
                raise EOFError("it is cut off")
            if plain := self._inner.decompress(packed, size):
                return plain
        return b""


def _tar_members(source: tar.Source, filename: str) -> Iterator[Member]:
    kinds = {tar.REGULAR: "f", tar.FOLDER: "d", tar.SYMLINK: "l", tar.HARD_LINK: "h"}
    stream = tar.TarStream(source)
    for found in stream.members():
        kind = kinds.get(found.kind)
        if kind is None:
            raise refuse(filename, f"{found.name!r} is a device or pipe")
        yield Member(
            found.name, kind, found.mode, found.mtime, found.link, stream.content() if kind == "f" else ()
        )


def _zip_members(stream: IO[bytes], filename: str) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise refuse(filename, f"{info.filename!r} is encrypted")
            mode = info.external_attr >> 16 if info.create_system == 3 else 0  # noqa: PLR2004 - Unix
            mtime, name = _utc(info.date_time), info.orig_filename
            if info.is_dir():
                yield Member(name, "d", mode, mtime)
            elif stat.S_IFMT(mode) == stat.S_IFLNK:
                if info.file_size > _LONGEST:
                    raise refuse(filename, f"{name!r} is a symbolic link to nothing that could be")
                yield Member(name, "l", mode, mtime, archive.read(info).decode("utf-8", "surrogateescape"))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                with archive.open(info) as content:
                    yield Member(name, "f", mode, mtime, "", iter(partial(content.read, _CHUNK), b""))
            else:
                raise refuse(filename, f"{name!r} is a device or pipe")


def _utc(date: tuple[int, int, int, int, int, int]) -> float:
    """A zip says a local time without its zone; one zone for all makes the result the same everywhere."""
    return float(calendar.timegm((*date, 0, 0, 0)))


class _Unpacked:
    """What was unpacked so far. Nothing is written through a link, and links are made when all files are there."""

    def __init__(self, folder: Path, filename: str, packed: int) -> None:
        self._folder, self._filename = folder, filename
        self._limit = min(_MAX_BYTES, max(_BOMB_FLOOR, packed * _BOMB_RATIO))
        self._packed = packed
        self._bytes = self._count = 0
        self._kinds: dict[str, str] = {}
        self._links: list[tuple[str, str]] = []
        self._times: dict[str, float] = {}

    def add(self, member: Member) -> None:
        self._count += 1
        if self._count > _MAX_FILES:
            raise refuse(self._filename, f"it has more than {_MAX_FILES} files")
        name = self._clean(member.name, "points outside of the archive's folder")
        if name == ".":
            return
        self._check_place(name, member.kind)
        self._kinds[name] = member.kind
        place = self._folder / name
        if member.kind == "d":
            place.mkdir(exist_ok=True, parents=True)
        elif member.kind == "l":
            self._links.append((name, member.link))
        else:
            place.parent.mkdir(exist_ok=True, parents=True)
            if member.kind == "h":
                self._copy_linked(name, member)
            else:
                self._write(place, member)
                self._times[name] = member.mtime

    def finish(self) -> Path:
        """Make the links, set the times, and return the one folder at the top."""
        for name, target in self._links:
            self._link(name, target)
        root = os.path.realpath(self._folder)
        for name, target in self._links:
            # A link through another link may climb where its text does not.
            if not os.path.realpath(self._folder / name).startswith(f"{root}/{name.partition('/')[0]}"):
                raise refuse(
                    self._filename, f"{name!r} is a symbolic link to {target!r}, out of the archive's folder"
                )
        tops = {name.split("/")[0] for name in self._kinds}
        if len(tops) != 1 or not (top := self._folder / tops.pop()).is_dir() or top.is_symlink():
            listed = (
                ", ".join(repr(one) for one in sorted({n.split("/")[0] for n in self._kinds})[:4])
                or "nothing"
            )
            raise refuse(
                self._filename, f"a source archive has exactly one folder at its top, this one has {listed}"
            )
        for name, mtime in self._times.items():
            moment = min(max(int(mtime), EPOCH), 0xFFFFFFFF)
            os.utime(self._folder / name, (moment, moment))
        return top

    def _clean(self, name: str, problem: str) -> str:
        if not name or "\0" in name or len(name) > _LONGEST:
            raise refuse(self._filename, f"{name[:80]!r} is not the name of a file")
        clean = posixpath.normpath(name)
        if name.startswith("/") or clean.split("/")[0] == "..":
            raise refuse(self._filename, f"{name!r} {problem}")
        return clean

    def _check_place(self, name: str, kind: str) -> None:
        """Every folder above is a folder, and nothing takes another kind of thing's place."""
        parent = posixpath.dirname(name)
        while parent:
            if self._kinds.get(parent, "d") != "d":
                what = "a symbolic link" if self._kinds[parent] == "l" else "a file"
                raise refuse(self._filename, f"{name!r} lies below {parent!r}, which is {what}")
            parent = posixpath.dirname(parent)
        before = self._kinds.get(name)
        if before is not None and (before, kind) not in (("d", "d"), ("f", "f"), ("h", "f"), ("f", "h")):
            raise refuse(self._filename, f"{name!r} is in it twice, as different things")
        if before is None and kind != "d" and (self._folder / name).exists():
            raise refuse(self._filename, f"{name!r} is both a file and a folder")

    def _write(self, place: Path, member: Member) -> None:
        place.unlink(missing_ok=True)
        mode = 0o755 if member.mode & 0o111 else 0o644
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as out:
            for chunk in member.content:
                self._count_bytes(len(chunk))
                out.write(chunk)
            os.fchmod(out.fileno(), mode)

    def _count_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limit:
            raise refuse(self._filename, f"{self._packed} bytes would unpack to more than {self._limit}")

    def _copy_linked(self, name: str, member: Member) -> None:
        """A hard link becomes a copy of the file that it names, which comes before it."""
        target = self._clean(member.link, "is a hard link out of the archive's folder")
        if self._kinds.get(target) not in ("f", "h"):
            raise refuse(
                self._filename, f"{name!r} is a hard link to {member.link!r}, which is not a file in it"
            )
        if target == name:
            return
        self._count_bytes((self._folder / target).stat().st_size)
        (self._folder / name).unlink(missing_ok=True)
        shutil.copyfile(self._folder / target, self._folder / name)
        (self._folder / name).chmod(stat.S_IMODE((self._folder / target).stat().st_mode))
        self._times[name] = member.mtime

    def _link(self, name: str, target: str) -> None:
        top = name.split("/", maxsplit=1)[0]
        if not target or "\0" in target or len(target) > _LONGEST:
            raise refuse(self._filename, f"{name!r} is a symbolic link to nothing that could be")
        end = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or end.split("/")[0] != top:
            raise refuse(
                self._filename, f"{name!r} is a symbolic link to {target!r}, out of the archive's folder"
            )
        place = self._folder / name
        place.parent.mkdir(exist_ok=True, parents=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)
