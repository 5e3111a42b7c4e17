"""What a zip archive must be so that every reader sees the same files in it.

A zip can be read from its directory at the end or as a stream from its start, and programs differ in what they
make of an archive in which the two disagree. A wheel that one installer unpacks to harmless files and another to
something else is refused, as package indexes do.
Source: APPNOTE.TXT of the zip format, sections 4.3 and 4.4.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.assemble.refusal import refuse

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Iterator

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MARK = b"PK\x05\x06"
ENCRYPTED = 0x1 | 0x40 | 0x2000
_IN_ZIP64, _MANY = 0xFFFFFFFF, 0xFFFF
_MAX_FILES = 200_000
_MAX_DIRECTORY = 128 << 20
_MAX_NAME, _MAX_PATH = 255, 2048
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_DEFERRED, _UTF8 = 0x8, 0x800
# Control characters, and those that hide or turn around what a name shows. Joiners stay: emoji and some
# languages are written with them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def check_ends(descriptor: int, filename: str) -> int:
    """Refuse an archive whose end is not the one plain end of a zip, before anything is read from it.

    Returns how many files the end says there are.

    Raises:
        WheelError: bytes follow the archive, its end can be read in two ways, it spans disks, or its directory
            is larger than any wheel's.
    """
    length = os.fstat(descriptor).st_size
    start = max(0, length - _END.size - 0xFFFF)
    tail = os.pread(descriptor, length - start, start)
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        raise refuse(filename, "it cannot be read: it has no end of a zip archive (is it cut off?)")
    _, disk, first_disk, here, files, size, offset, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail):
        raise refuse(filename, "bytes follow the end of the archive")
    if tail.find(_END_MARK) != place and tail.find(_END_MARK) >= place - 0xFFFF - _END.size:
        _refuse_second_end(tail, place, filename)
    end = start + place
    if _IN_ZIP64 in (size, offset) or _MANY in (here, files):
        end, files, size, offset = _end64(descriptor, end, (files, size, offset), filename)
    elif disk or first_disk or here != files:
        raise refuse(filename, "its directory is said to be on several disks")
    if files > _MAX_FILES or size > _MAX_DIRECTORY:
        raise refuse(filename, f"it has {files} files in a directory of {size} bytes")
    if offset + size != end:
        raise refuse(filename, "its directory is not where the end of the archive says")
    return int(files)


def _refuse_second_end(tail: bytes, place: int, filename: str) -> None:
    """Another end mark is no harm within compressed data; one that would be believed is."""
    other = tail.find(_END_MARK)
    while other < place:
        if len(tail) - other >= _END.size:
            comment = _END.unpack_from(tail, other)[-1]
            if other + _END.size + comment == len(tail):
                raise refuse(filename, "the end of the archive can be read in two ways")
        other = tail.find(_END_MARK, other + 1)


def _end64(
    descriptor: int, end: int, short: tuple[int, int, int], filename: str
) -> tuple[int, int, int, int]:
    """Where the zip64 end starts, and files, size and offset of the directory from it."""
    locator = os.pread(descriptor, _END64_LOCATOR.size, max(0, end - _END64_LOCATOR.size))
    if len(locator) == _END64_LOCATOR.size and locator.startswith(b"PK\x06\x07"):
        _, disk, place, disks = _END64_LOCATOR.unpack(locator)
        raw = os.pread(descriptor, _END64.size, place) if place < end else b""
        if len(raw) == _END64.size and raw.startswith(b"PK\x06\x06") and disk == 0 and disks == 1:
            _, length, _, _, _, _, here, files, size, offset = _END64.unpack(raw)
            agree = all(s in (big, limit) for s, big, limit in zip(short, (files, size, offset), (_MANY, _IN_ZIP64, _IN_ZIP64), strict=True))  # fmt: skip
            if here == files and agree and place + 12 + length == end - _END64_LOCATOR.size:
                return place, files, size, offset
    raise refuse(filename, "its two ends (zip and zip64) contradict each other")


class Place(NamedTuple):
    """Where a file is in the archive: its header, its data, and the end of what belongs to it."""

    header: int
    data: int
    end: int
    name: str


def place_of(info: zipfile.ZipInfo, descriptor: int, filename: str) -> Place:
    """Compare the directory with the file's own header: readers differ in which one they believe.

    Raises:
        WheelError: they contradict each other.
    """
    name = info.filename
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", "replace")
    head = os.pread(descriptor, _LOCAL.size + len(raw), info.header_offset)
    if len(head) < _LOCAL.size + len(raw) or not head.startswith(b"PK\x03\x04"):
        raise refuse(filename, f"{name!r} has no header where the directory says")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(head)
    data = info.header_offset + _LOCAL.size + name_length + extra_length
    if name_length != len(raw) or head[_LOCAL.size :] != raw:
        raise refuse(filename, f"{name!r} has another name in its own header")
    if flags & ENCRYPTED:
        raise refuse(filename, f"{name!r} is encrypted")
    same = (crc, packed, size) == (info.CRC, info.compress_size, info.file_size)
    if method != info.compress_type or not (same or flags & _DEFERRED or _IN_ZIP64 in (packed, size)):
        raise refuse(filename, f"{name!r} has other sizes in its own header than in the directory")
    if extra_length or info.extra:
        extra = os.pread(descriptor, extra_length, data - extra_length)
        _check_extra(info, extra, (packed, size), filename)
    end = data + info.compress_size
    return Place(
        info.header_offset, data, _after(info, descriptor, end, filename) if flags & _DEFERRED else end, name
    )


def check_whole(places: Iterable[Place], directory: int, filename: str) -> None:
    """Refuse an archive that holds more than its directory lists: the files fill it exactly.

    Raises:
        WheelError: bytes lie before, between or after the files, or files overlap.
    """
    end = 0
    for place in sorted(places):
        if place.header < end or place.end > directory:
            raise refuse(filename, f"the data of {place.name!r} overlaps with another file's")
        if place.header > end:
            where = "before its first file" if end == 0 else f"before {place.name!r}"
            raise refuse(filename, f"it has {place.header - end} bytes {where} that belong to no file")
        end = place.end
    if end < directory:
        raise refuse(filename, f"it has {directory - end} bytes before its directory that belong to no file")


def _after(info: zipfile.ZipInfo, descriptor: int, end: int, filename: str) -> int:
    """The end of what follows the data and says its sizes, when the header does not."""
    tail = os.pread(descriptor, 24, end)
    for layout in ("<LLL", "<LQQ"):
        if layout == "<LLL" and max(info.compress_size, info.file_size) > _IN_ZIP64:
            continue
        for mark in (b"PK\x07\x08", b""):
            packed = mark + struct.pack(layout, info.CRC, info.compress_size, info.file_size)
            if tail.startswith(packed):
                return end + len(packed)
    raise refuse(filename, f"the sizes after the data of {info.filename!r} are not those of the directory")


def _check_extra(info: zipfile.ZipInfo, extra: bytes, sizes: tuple[int, int], filename: str) -> None:
    """Compare what extra fields say: zip64 sizes, and another name. `sizes` (packed, plain) are the header's."""
    for source in (extra, info.extra):
        for kind, value in _fields(source, info.filename, filename):
            if kind == _UNICODE_PATH and value[5:] != info.orig_filename.encode("utf-8", "surrogatepass"):
                raise refuse(filename, f"{info.filename!r} has a second name")
    if _IN_ZIP64 not in sizes:
        return
    wide = dict(_fields(extra, info.filename, filename)).get(_ZIP64, b"")
    wanted = [s for s, short in zip((info.file_size, info.compress_size), sizes[::-1], strict=True) if short == _IN_ZIP64]  # fmt: skip
    if len(wide) < 8 * len(wanted) or wide[: 8 * len(wanted)] != struct.pack(f"<{len(wanted)}Q", *wanted):
        raise refuse(filename, f"{info.filename!r} has other sizes in its own header than in the directory")


def _fields(extra: bytes, name: str, filename: str) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if place + 4 + length > len(extra):
            raise refuse(filename, f"{name!r} has a malformed extra field")
        yield kind, extra[place + 4 : place + 4 + length]
        place += 4 + length


def check_name(name: str, filename: str) -> None:
    """Refuse names that mean another place than they seem to, or that no file system takes.

    Raises:
        WheelError: the name is absolute, climbs up, hides something, is too long, or deletes other files.
    """
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ".." in parts:
        raise refuse(filename, f"{name[:200]!r} points outside of the wheel")
    if "" in parts or "." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise refuse(filename, f"{name[:200]!r} is not a plain relative path")
    if _HIDDEN.search(name):
        raise refuse(
            filename, f"{name[:200]!r} is not a plain relative path: it has a character that does not show"
        )
    if any(part.startswith(".wh.") for part in parts):
        raise refuse(filename, f"{name[:200]!r} would delete files of other layers")
    if not name.isascii() or len(name) > _MAX_NAME:
        _check_length(name, parts, filename)


def _check_length(name: str, parts: list[str], filename: str) -> None:
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    if longest > _MAX_NAME or len(name.encode("utf-8", "surrogatepass")) > _MAX_PATH:
        raise refuse(filename, f"{name[:80] + '…'!r} is longer than a path may be")


def check_alike(names: set[str], filename: str) -> None:
    """Refuse two names that are the same text in two encodings: nobody could tell them apart.

    Names that differ in case alone are two files on Linux, and real packages have them (kernel headers).

    Raises:
        WheelError: there are two.
    """
    seen: dict[str, str] = {}
    for name in sorted(n for n in names if not n.isascii()):
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise refuse(filename, f"{name!r} is in it twice, as two spellings of the same characters")
