"""Unpacking zips and tar files that nobody vouches for: nothing lands outside of its folder, whatever the names say.

Every folder on the way to a file is opened as a folder, never through a symbolic link, also not one that was there
before. Links are made when all files are written. Source: APPNOTE.TXT 6.3.9, POSIX pax.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, Self, cast

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK = 1 << 20
_MOST_FILES = 1_000_000
_MOST_BYTES = 64 << 30
# Deflate can do 1032 to 1; what is worth building from, or caching, packs as a whole far worse.
_BOMB_RATIO, _BOMB_FLOOR = 200, 512 << 20
_LONGEST = 4096
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_READ_WHOLE = b"xgXLK"  # types of members that are long names and attributes of others


class ArchiveError(SeatrialError):
    """An archive that is damaged, or that would do what no archive may."""


class Rules(NamedTuple):
    """What an archive may hold. `links` are symbolic ones: any, those that stay within, or none.

    `setuid` and `setgid` files are refused, or written without or with those bits; `outside`: names that lead out of the
    folder are refused, else a leading `/` and every `..` is dropped from them; `twice`: whether two files may have one
    name (the last one counts). `hard`: whether hard links are made. `owners`: whether a tar's owners are kept.
    """

    links: Literal["any", "within", "none"] = "within"
    setuid: Literal["refuse", "drop", "keep"] = "drop"
    outside: Literal["refuse", "cut"] = "refuse"
    twice: bool = True
    hard: bool = False
    owners: bool = False
    files: int = _MOST_FILES
    size: int = 0


CACHED = Rules(links="any")
"""What somebody's own cache may hold."""


class Unpacked(NamedTuple):
    """How many files (links among them) and bytes were written; `skipped` are names that had no place to go."""

    files: int
    size: int
    skipped: tuple[str, ...] = ()


class _Member(NamedTuple):
    """`kind` is f, d, l or h (a hard link); `link` what a link says; `mode` is 0 where the archive says none."""

    name: str
    kind: str
    mode: int
    moment: float
    link: str
    content: IO[bytes] | None
    owner: tuple[int, int] | None = None


def unzip(archive: Path, folder: Path, rules: Rules = Rules()) -> Unpacked:  # noqa: B008 - it is frozen
    """Unpack a zip into the empty `folder`, with permissions and times, as far as the rules allow.

    Raises:
        ArchiveError: it is damaged, encrypted, a bomb, or names or links in it lead out of the folder.
        SeatrialError: it cannot be written.
    """
    size = archive.stat().st_size

    def members() -> Iterator[_Member]:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                yield from _of_zip(opened, info, str(archive))

    return _unpack(members(), lambda name: (folder, name), str(archive), size, rules)


def untar(
    stream: IO[bytes],
    place: Callable[[str], tuple[Path, str] | None],
    *,
    where: str,
    packed: int,
    rules: Rules = CACHED,
) -> Unpacked:
    """Unpack a tar stream over what is there. `place` says for a member's name in which folder it goes and by what name,
    or None where it has none. `packed` is the size of the stream before it was decompressed.

    Raises:
        ArchiveError: it is damaged, a bomb, or has names that lead out of their folder.
        SeatrialError: it cannot be written.
    """

    def members() -> Iterator[_Member]:
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape", tarinfo=_Header) as opened:
            for info in opened:
                kind = "d" if info.isdir() else "l" if info.issym() else "f" if info.isreg() else ""
                kind = "h" if info.islnk() and rules.hard else kind
                if not kind:
                    raise _refuse(where, f"{info.name!r} is neither file, folder nor symbolic link")
                content = cast("IO[bytes]", opened.extractfile(info)) if kind == "f" else None
                owner = _owner(info) if rules.owners else None
                yield _Member(info.name, kind, info.mode, info.mtime, info.linkname, content, owner)

    return _unpack(members(), place, where, packed, rules)


class _Header(tarfile.TarInfo):
    """A member's header. A damaged one would be the end of the tar for `tarfile`, and the rest would be missing."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(f"a member's header: {error}") from error
            raise
        if found.type in _READ_WHOLE and found.size > _CHUNK:
            raise tarfile.ReadError(f"a member's name and attributes have {found.size} bytes")
        return found


def _owner(info: tarfile.TarInfo) -> tuple[int, int]:
    """Names count before numbers, as for tar itself."""
    import grp
    import pwd

    uid, gid = info.uid, info.gid
    with suppress(KeyError, ValueError):
        uid = pwd.getpwnam(info.uname).pw_uid
    with suppress(KeyError, ValueError):
        gid = grp.getgrnam(info.gname).gr_gid
    return uid, gid


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Iterator[_Member]:
    import calendar

    name = info.orig_filename
    if info.create_system == _UNIX and not info.flag_bits & _UTF8:
        name = os.fsdecode(name.encode("cp437"))  # bytes as they were on disk, which zipfile takes for DOS's
    if info.flag_bits & _ENCRYPTED:
        raise _refuse(where, f"{name!r} is encrypted")
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    moment = float(calendar.timegm((*info.date_time, 0, 0, 0)))
    if info.is_dir():
        yield _Member(name, "d", mode, moment, "", None)
    elif stat.S_IFMT(mode) == stat.S_IFLNK:
        if info.file_size > _LONGEST:
            raise _refuse(where, f"{name!r} is a symbolic link to nothing that could be")
        yield _Member(name, "l", mode, moment, os.fsdecode(opened.read(info)), None)
    elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
        with opened.open(info) as content:
            yield _Member(name, "f", mode, moment, "", content)
    else:
        raise _refuse(where, f"{name!r} is a device or pipe")


def _unpack(
    members: Iterator[_Member],
    place: Callable[[str], tuple[Path, str] | None],
    where: str,
    packed: int,
    rules: Rules,
) -> Unpacked:
    limit = min(rules.size or _MOST_BYTES, max(_BOMB_FLOOR, packed * _BOMB_RATIO))
    writer = _Writer(where, limit, rules)
    try:
        _write(members, place, writer, where, rules)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise _refuse(where, f"it is damaged: {error}") from error
    except OSError as error:
        # What decompresses raises a bare OSError for damage; one of the system's has a number.
        if error.errno is None:
            raise _refuse(where, f"it is damaged: {error}") from error
        raise SeatrialError(
            f"cannot unpack: {error.strerror}", where=where, why=str(error.filename or "") or None,
            fix="check the space and the permissions there",
        ) from error  # fmt: skip
    return Unpacked(writer.files, writer.size, tuple(writer.skipped))


def _write(
    members: Iterator[_Member],
    place: Callable[[str], tuple[Path, str] | None],
    writer: _Writer,
    where: str,
    rules: Rules,
) -> None:
    links: list[tuple[Path, str, str]] = []
    folders: list[tuple[Path, str, _Member]] = []
    for member in members:
        writer.count()
        target = place(_clean(member.name, where, rules))
        if target is None:
            writer.skipped.append(member.name)
        elif member.kind == "d":
            writer.folder(*target)
            folders.append((*target, member))
        elif member.kind == "l":
            links.append((*target, _checked_link(member, target[1], where, rules)))
        elif member.kind == "h":
            writer.hard_link(target, place(_clean(member.link, where, rules)), member)
        else:
            writer.file(*target, member)
    for top, name, link in links:
        writer.link(top, name, link)
    if rules.links != "any":
        _check_ends(links, where)
    for top, name, member in reversed(folders):
        writer.finish_folder(top, name, member)


class _Writer:
    def __init__(self, where: str, limit: int, rules: Rules) -> None:
        self._where, self._limit, self._rules = where, limit, rules
        self._members = 0
        self._names: set[tuple[Path, str]] = set()
        self.files = self.size = 0
        self.skipped: list[str] = []

    def count(self) -> None:
        self._members += 1
        if self._members > self._rules.files:
            raise _refuse(self._where, f"it has more than {self._rules.files} members")

    def folder(self, top: Path, name: str) -> None:
        os.close(self._open(top, name))

    def finish_folder(self, top: Path, name: str, member: _Member) -> None:
        """Permissions last, so that a folder that may not be written does not stand in its own way."""
        descriptor = self._open(top, name)
        try:
            if member.mode & 0o777:
                os.fchmod(descriptor, member.mode & 0o777 | 0o700)
            os.utime(descriptor, (member.moment, member.moment))
        finally:
            os.close(descriptor)

    def file(self, top: Path, name: str, member: _Member) -> None:
        self._name(top, name)
        bits = member.mode & 0o6000
        if bits and self._rules.setuid == "refuse":
            raise _refuse(self._where, f"{member.name!r} would run with another user's rights (set-user-id)")
        parent = self._open(top, posixpath.dirname(name))
        base = posixpath.basename(name)
        try:
            self._clear(parent, base)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(base, flags, 0o600, dir_fd=parent), "wb") as out:
                assert member.content is not None  # noqa: S101 - it is a file
                while piece := member.content.read(_CHUNK):
                    self.size += len(piece)
                    if self.size > self._limit:
                        raise _refuse(self._where, f"it would unpack to more than {self._limit} bytes")
                    out.write(piece)
                out.flush()
                if member.owner is not None:
                    os.fchown(out.fileno(), *member.owner)
                # Set-user-id is a machine's business, not an archive's, unless somebody says otherwise.
                bits = bits if self._rules.setuid == "keep" else 0
                os.fchmod(out.fileno(), ((member.mode & 0o777) or 0o644) | bits)
                os.utime(out.fileno(), (member.moment, member.moment))
        finally:
            os.close(parent)
        self.files += 1

    def hard_link(self, target: tuple[Path, str], source: tuple[Path, str] | None, member: _Member) -> None:
        """One more name of a file that came before; never of anything else."""
        self._name(*target)
        if source is None or source not in self._names or source == target:
            raise _refuse(
                self._where, f"{member.name!r} is a hard link to {member.link!r}, which is no file of it"
            )
        ours = self._open(target[0], posixpath.dirname(target[1]))
        try:
            theirs = self._open(source[0], posixpath.dirname(source[1]))
            try:
                self._clear(ours, posixpath.basename(target[1]))
                os.link(
                    posixpath.basename(source[1]),
                    posixpath.basename(target[1]),
                    src_dir_fd=theirs,
                    dst_dir_fd=ours,
                    follow_symlinks=False,
                )
            finally:
                os.close(theirs)
        finally:
            os.close(ours)
        self.files += 1

    def link(self, top: Path, name: str, target: str) -> None:
        self._name(top, name)
        parent = self._open(top, posixpath.dirname(name))
        try:
            self._clear(parent, posixpath.basename(name))
            os.symlink(target, posixpath.basename(name), dir_fd=parent)
        finally:
            os.close(parent)
        self.files += 1

    def _name(self, top: Path, name: str) -> None:
        if not name:
            raise _refuse(self._where, "it has a file without a name")
        if not self._rules.twice and (top, name) in self._names:
            raise _refuse(self._where, f"it has {name!r} twice")
        self._names.add((top, name))

    def _open(self, top: Path, name: str) -> int:
        """Open a folder below `top`, making what is missing; a symbolic link on the way is refused."""
        top.mkdir(parents=True, exist_ok=True)
        here = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in filter(None, name.split("/")):
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
                ahead = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
                )
            except NotADirectoryError as error:
                raise _refuse(self._where, f"{name!r} lies below {part!r}, which is no folder") from error
            finally:
                os.close(here)
            here = ahead
        return here

    def _clear(self, parent: int, base: str) -> None:
        try:
            os.unlink(base, dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError) as error:
            if stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
                raise _refuse(self._where, f"{base!r} is both a file and a folder") from error
            raise


def _clean(name: str, where: str, rules: Rules) -> str:
    if rules.outside == "cut":
        name = "/".join(part for part in name.split("/") if part not in ("", "..")) or "."
    if not name or "\0" in name or len(name) > _LONGEST:
        raise _refuse(where, f"{name[:80]!r} is not the name of a file")
    clean = posixpath.normpath(name)
    if name.startswith("/") or clean.split("/")[0] == "..":
        raise _refuse(where, f"{name!r} leads out of its folder")
    return "" if clean == "." else clean


def _checked_link(member: _Member, name: str, where: str, rules: Rules) -> str:
    link = member.link
    if not link or "\0" in link or len(link) > _LONGEST:
        raise _refuse(where, f"{member.name!r} is a symbolic link to nothing that could be")
    if rules.links == "none":
        raise _refuse(where, f"{member.name!r} is a symbolic link")
    if rules.links == "within":
        end = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
        if link.startswith("/") or end.split("/")[0] == "..":
            raise _refuse(where, f"{member.name!r} is a symbolic link to {link!r}, out of its folder")
    return link


def _check_ends(links: list[tuple[Path, str, str]], where: str) -> None:
    """A link through another link may climb where its text does not."""
    for top, name, link in links:
        root = os.path.realpath(top)
        end = os.path.realpath(top / name)
        if end != root and not end.startswith(f"{root}/"):
            raise _refuse(where, f"{name!r} is a symbolic link to {link!r}, out of its folder")


def _refuse(where: str, why: str) -> ArchiveError:
    return ArchiveError(
        "this archive is refused", where=where, why=why, fix="make it again, from a source that you trust"
    )
