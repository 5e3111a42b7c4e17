"""Zip files of what a build made: same files, same bytes.

Source: APPNOTE.TXT 6.3.9. Times are in UTC and modes those of Unix; nothing else of the machine is in them.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from seatrial.builds.refused import unreadable
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.builds.patterns import Found

_CHUNK = 1 << 20
_EARLIEST, _LATEST = 315_532_800, 4_354_819_198  # 1980-01-01 and 2107-12-31, between which a zip can say
_LARGE = 1 << 30  # from here on sizes are written with 64 bits, as a file may grow while it is read
_UTF8 = 0x800
_SAMPLE = 64 << 10


class Packed(NamedTuple):
    """How many files and bytes went in, and which files were gone when their turn came."""

    files: int
    size: int
    gone: tuple[str, ...]


class Gone(Exception):  # noqa: N818 - what happened to it
    """A file went away, or became something else, between being found and being read."""


class _Info(zipfile.ZipInfo):
    """A member whose name is written as the bytes that it has on disk, which need not be UTF-8."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's name
        raw = os.fsencode(self.filename)
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw, self.flag_bits & ~_UTF8
        return raw, self.flag_bits if raw.isascii() else self.flag_bits | _UTF8


def write_zip(out: IO[bytes], files: Iterable[Found], moment: int | None) -> Packed:
    """Write a zip of the files to `out`, which need not be seekable. `moment` is the time of all, else each has its own.

    Raises:
        Refused: a file cannot be read.
        OSError: `out` cannot be written.
    """
    number = size = 0
    gone = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for found in files:
            try:
                size += _add_link(archive, found, moment) if found.link else _add(archive, found, moment)
            except Gone:
                gone.append(found.name)
                continue
            number += 1
    return Packed(number, size, tuple(gone))


def open_found(found: Found) -> IO[bytes]:
    """Open a file that was found, and be sure that it is that file: no link, pipe or device took its place.

    Raises:
        Gone: it is no longer there, or is something else now.
        Refused: it cannot be read.
    """
    try:
        descriptor = os.open(found.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Gone from error
    except OSError as error:
        if os.path.islink(found.place):  # noqa: PTH114 - a string
            raise Gone from error
        raise unreadable(error) from error
    stream = os.fdopen(descriptor, "rb", buffering=0)
    # A folder above may have become a link meanwhile; the kernel knows what was opened in the end.
    there = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.isdir("/proc/self/fd") else found.place  # noqa: PTH112, PTH115
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or there != found.place:
        stream.close()
        raise Gone
    return cast("IO[bytes]", stream)


def source_date() -> int | None:
    """The time that SOURCE_DATE_EPOCH asks for, in seconds; None when it is not set.

    Raises:
        SeatrialError: it is not a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not text.isdecimal():
        raise SeatrialError(
            f"SOURCE_DATE_EPOCH is {text[:40]!r}", fix="set it to seconds since 1970, or unset it"
        )
    return int(text) if text else None


def _add(archive: zipfile.ZipFile, found: Found, moment: int | None) -> int:
    with open_found(found) as stream:
        status = os.fstat(stream.fileno())
        info = _info(found.name, status.st_mode, int(status.st_mtime) if moment is None else moment)
        left = status.st_size  # a log that is still being written has no end
        piece = stream.read(min(_CHUNK, left))
        info.compress_type = zipfile.ZIP_DEFLATED if _is_worth_it(piece) else zipfile.ZIP_STORED
        with archive.open(info, "w", force_zip64=left >= _LARGE) as member:
            while piece:
                member.write(piece)
                left -= len(piece)
                piece = stream.read(min(_CHUNK, left))
    return status.st_size - left


def _is_worth_it(start: bytes) -> bool:
    """Whether it packs at all, judged by its beginning: archives, images and weights only cost time."""
    sample = start[:_SAMPLE]
    return len(sample) < _SAMPLE or len(zlib.compress(sample, 1)) < 0.95 * len(sample)


def _add_link(archive: zipfile.ZipFile, found: Found, moment: int | None) -> int:
    try:
        own = int(os.lstat(found.place).st_mtime)
    except FileNotFoundError as error:
        raise Gone from error
    info = _info(found.name, stat.S_IFLNK | 0o777, own if moment is None else moment)
    archive.writestr(info, os.fsencode(found.link))
    return 0


def _info(name: str, mode: int, moment: int) -> zipfile.ZipInfo:
    date: Any = time.gmtime(min(max(moment, _EARLIEST), _LATEST))[:6]
    info = _Info(name, date)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = (mode & 0xFFFF) << 16
    return info
