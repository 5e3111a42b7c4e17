"""Reading a wheel with suspicion, and deciding where each of its files goes.

Source: the binary distribution format specification (packaging.python.org) and APPNOTE.TXT of the zip format.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from pathlib import Path

STORED, DEFLATED = 0, 8
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_IN_ZIP64 = 0xFFFFFFFF
_MAX_FILES = 200_000
_MAX_PLAIN = 64 << 30
_MAX_METADATA = 64 << 20
# deflate packs at most 1032 to 1; real wheels stay far below 60 to 1 as a whole.
_BOMB_RATIO, _BOMB_FLOOR = 200, 256 << 20
_HASHES = ("sha256", "sha384", "sha512")
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")


class WheelError(SeatrialError):
    """A wheel that is damaged, or that was made to harm."""


class Entry(NamedTuple):
    """A file in the archive. `offset` is where its data starts, `packed` and `size` are bytes."""

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int
    executable: bool


class Recorded(NamedTuple):
    """What RECORD says: hash name, digest, size or None."""

    algorithm: str
    digest: bytes
    size: int | None


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel whose structure holds; the contents are compared with `record` while they are read."""

    path: str
    filename: str
    name: str
    version: str
    dist_info: str
    data: str
    pure: bool
    entries: tuple[Entry, ...]
    record: dict[str, Recorded]
    scripts: tuple[tuple[str, str], ...]


def read_wheel(path: Path, filename: str) -> Wheel:
    """Read the structure of a wheel and refuse what no installer should touch.

    Raises:
        WheelError: the archive is damaged or hostile, or its metadata contradicts its file name.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _, _ = parse_wheel_filename(filename)
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            entries = _entries(archive, stream.fileno(), filename)
            dist_info = _dist_info(entries, str(name), filename)
            texts = _texts(archive, entries, dist_info, filename)
    except (
        zipfile.BadZipFile, zlib.error, InvalidWheelFilename, NotImplementedError, ValueError, EOFError, OSError,
    ) as error:  # fmt: skip
        raise refuse(filename, f"it cannot be read: {error}") from error
    pure = _read_wheel_file(texts.get(f"{dist_info}/WHEEL"), filename)
    return Wheel(
        path=str(path),
        filename=filename,
        name=str(name),
        version=str(version),
        dist_info=dist_info,
        data=dist_info.removesuffix(".dist-info") + ".data",
        pure=pure,
        entries=entries,
        record=_record(texts.get(f"{dist_info}/RECORD"), entries, dist_info, filename),
        scripts=_entry_points(texts.get(f"{dist_info}/entry_points.txt", b""), filename),
    )


def refuse(filename: str, why: str) -> WheelError:
    return WheelError(
        "this wheel is refused",
        where=filename,
        why=why,
        fix="get it from a source you trust, or choose another version",
    )


def _texts(
    archive: zipfile.ZipFile, entries: tuple[Entry, ...], dist_info: str, filename: str
) -> dict[str, bytes]:
    wanted = [f"{dist_info}/{name}" for name in ("WHEEL", "RECORD", "entry_points.txt")]
    for entry in entries:
        if entry.name in wanted and entry.size > _MAX_METADATA:
            raise refuse(filename, f"{entry.name!r} has {entry.size} bytes")
    return {entry.name: archive.read(entry.name) for entry in entries if entry.name in wanted}


def _entries(archive: zipfile.ZipFile, descriptor: int, filename: str) -> tuple[Entry, ...]:
    infos = archive.infolist()
    if len(infos) > _MAX_FILES:
        raise refuse(filename, f"it has {len(infos)} files")
    total, length = sum(i.file_size for i in infos), os.fstat(descriptor).st_size
    if total > _MAX_PLAIN or (total > _BOMB_FLOOR and total > _BOMB_RATIO * length):
        raise refuse(filename, f"{length} bytes would unpack to {total}")
    found, seen = [], set()
    for info in infos:
        check_name(info.orig_filename, filename)
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # noqa: PLR2004 - Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a device or pipe"
            raise refuse(filename, f"{info.filename!r} is {what}")
        if info.is_dir():
            continue
        if info.filename in seen:
            raise refuse(filename, f"{info.filename!r} is in it twice")
        seen.add(info.filename)
        found.append(_entry(info, descriptor, filename))
    _check_overlap(found, archive.start_dir, filename)
    _check_tree(seen, filename)
    return tuple(sorted(found))


def _entry(info: zipfile.ZipInfo, descriptor: int, filename: str) -> Entry:
    """Compare the central directory with the file's own header: readers differ in which one they believe."""
    name = info.filename
    if info.flag_bits & _ENCRYPTED:
        raise refuse(filename, f"{name!r} is encrypted")
    if info.compress_type not in (STORED, DEFLATED):
        raise refuse(
            filename, f"{name!r} is compressed by method {info.compress_type}, which wheels do not use"
        )
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    head = os.pread(descriptor, _LOCAL_HEADER.size + len(raw), info.header_offset)
    if len(head) != _LOCAL_HEADER.size + len(raw) or not head.startswith(b"PK\x03\x04"):
        raise refuse(filename, f"{name!r} has no header where the directory says")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL_HEADER.unpack_from(head)
    if name_length != len(raw) or head[_LOCAL_HEADER.size :] != raw:
        raise refuse(filename, f"{name!r} has another name in its own header")
    deferred = flags & 0x8  # sizes follow the data
    sizes = (crc, packed, size) == (info.CRC, info.compress_size, info.file_size)
    zip64 = _IN_ZIP64 in (packed, size)
    if method != info.compress_type or not (deferred or zip64 or sizes):
        raise refuse(filename, f"{name!r} has other sizes in its own header than in the directory")
    if info.compress_type == STORED and info.compress_size != info.file_size:
        raise refuse(filename, f"{name!r} is stored with two different sizes")
    return Entry(
        name=name,
        offset=info.header_offset + _LOCAL_HEADER.size + name_length + extra_length,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        method=info.compress_type,
        executable=bool(info.external_attr >> 16 & 0o111) and info.create_system == 3,  # noqa: PLR2004
    )


def check_name(name: str, filename: str) -> None:
    """Refuse names that mean another place than they seem to.

    Raises:
        WheelError: the name is absolute, climbs up, or holds what no file name needs.
    """
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ".." in parts:
        raise refuse(filename, f"{name!r} points outside of the wheel")
    if "" in parts or "." in parts or "\\" in name or not name.isprintable() or re.match(r"[A-Za-z]:", name):
        raise refuse(filename, f"{name!r} is not a plain relative path")
    if any(part.startswith(".wh.") for part in parts):
        raise refuse(filename, f"{name!r} would delete files of other layers")


def _check_overlap(entries: list[Entry], directory: int, filename: str) -> None:
    end = 0
    for entry in sorted(entries, key=lambda e: e.offset):
        if entry.offset < end or entry.offset + entry.packed > directory:
            raise refuse(filename, f"the data of {entry.name!r} overlaps with another file's")
        end = entry.offset + entry.packed


def _check_tree(names: set[str], filename: str) -> None:
    folders: set[str] = set()
    for name in names:
        while (name := name.rpartition("/")[0]) and name not in folders:
            folders.add(name)
    for name in sorted(folders & names):
        raise refuse(filename, f"{name!r} is both a file and a folder")


def _dist_info(entries: tuple[Entry, ...], name: str, filename: str) -> str:
    from packaging.utils import canonicalize_name

    tops = {e.name.split("/")[0] for e in entries if "/" in e.name}
    folders = {folder for folder in tops if folder.endswith(".dist-info")}
    if len(folders) != 1:
        raise refuse(filename, f"it has {len(folders)} metadata folders instead of one")
    folder = folders.pop()
    if canonicalize_name(folder.removesuffix(".dist-info").rsplit("-", 1)[0]) != name:
        raise refuse(filename, f"its metadata folder is {folder}")
    return folder


def _read_wheel_file(content: bytes | None, filename: str) -> bool:
    if content is None:
        raise refuse(filename, "it has no WHEEL file")
    lines = (line.partition(":") for line in content.decode("utf-8", "replace").splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in lines}
    version = fields.get("wheel-version", "")
    if not version.startswith("1."):
        raise refuse(filename, f"its format version is {version or 'missing'}; only 1.x is known")
    return fields.get("root-is-purelib", "").lower() == "true"


def _record(
    content: bytes | None, entries: tuple[Entry, ...], dist_info: str, filename: str
) -> dict[str, Recorded]:
    if content is None:
        raise refuse(filename, "it has no RECORD, so nothing says what it should contain")
    unlisted = {f"{dist_info}/{name}" for name in _UNLISTED}
    found: dict[str, Recorded] = {}
    for row in csv.reader(io.StringIO(content.decode("utf-8", "replace"))):
        if not row or row[0] in unlisted:
            continue
        if len(row) != 3:  # noqa: PLR2004 - path, hash, size
            raise refuse(filename, f"RECORD has a line of {len(row)} fields: {row[0]!r}")
        found[row[0].removeprefix("./").replace("\\", "/")] = _recorded(row, filename)
    for entry in entries:
        if entry.name not in found and entry.name not in unlisted:
            raise refuse(filename, f"RECORD does not list {entry.name!r}")
    return found


def _recorded(row: list[str], filename: str) -> Recorded:
    algorithm, _, text = row[1].partition("=")
    if algorithm not in _HASHES:
        raise refuse(filename, f"RECORD gives no sha256 (or stronger) hash of {row[0]!r}")
    try:
        digest = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return Recorded(algorithm, digest, int(row[2]) if row[2] else None)
    except ValueError as error:
        raise refuse(filename, f"RECORD's line of {row[0]!r} is malformed") from error


def _entry_points(content: bytes, filename: str) -> tuple[tuple[str, str], ...]:
    """Console and GUI scripts as (name, `module:attribute`), sorted."""
    found: dict[str, str] = {}
    section = ""
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].strip()
        elif "=" in text and section in ("console_scripts", "gui_scripts") and text[0] not in "#;":
            name, _, value = (part.strip() for part in text.partition("="))
            target = value.partition("[")[0].strip()
            if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
                raise refuse(filename, f"the entry point {name!r} is not a plain file name")
            if not re.fullmatch(r"[\w.]+:[\w.]+", target.replace(" ", "")):
                raise refuse(filename, f"the entry point {name} has no `module:attribute` but {value!r}")
            found[name] = target.replace(" ", "")
    return tuple(sorted(found.items()))
