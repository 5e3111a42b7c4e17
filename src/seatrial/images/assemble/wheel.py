"""Reading a wheel with suspicion, and deciding where each of its files goes.

Source: the binary distribution format specification (packaging.python.org) and APPNOTE.TXT of the zip format.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.assemble.archive import (
    ENCRYPTED,
    Place,
    check_alike,
    check_ends,
    check_name,
    check_whole,
    place_of,
)
from seatrial.images.assemble.metadata import Recorded, check_project, read_format, read_record, read_scripts
from seatrial.images.assemble.refusal import WheelError, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.version import Version

__all__ = ["DEFLATED", "STORED", "Entry", "Recorded", "Wheel", "WheelError", "read_wheel", "refuse"]

STORED, DEFLATED = 0, 8
_MAX_PLAIN = 64 << 30
_MAX_METADATA = 64 << 20
# deflate packs at most 1032 to 1; real wheels stay far below 60 to 1 as a whole.
_BOMB_RATIO, _BOMB_FLOOR = 200, 256 << 20


class Entry(NamedTuple):
    """A file in the archive. `offset` is where its data starts, `packed` and `size` are bytes.

    `digest` is the sha256 of its content when that was compared with RECORD before, else empty.
    """

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int
    executable: bool
    digest: bytes = b""


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel whose structure holds; the contents are compared with `record` while they are read.

    `name` is normalised (PEP 503); `scripts` are (name, `module:attribute`).
    `direct_url` is the content of its direct_url.json, empty for none.
    """

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
    direct_url: str = ""


def read_wheel(path: Path, filename: str) -> Wheel:
    """Read the structure of a wheel and refuse what no installer should touch.

    Raises:
        WheelError: the archive is damaged or hostile, or its metadata contradicts its file name.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _, _ = parse_wheel_filename(filename)
        with path.open("rb") as stream:
            files = check_ends(stream.fileno(), filename)
            with zipfile.ZipFile(stream) as archive:
                if len(archive.infolist()) != files:
                    raise refuse(
                        filename, f"it has {files} files at its end, and {len(archive.infolist())} listed"
                    )
                entries = _entries(archive, stream.fileno(), filename)
                dist_info = _dist_info(entries, str(name), version, filename)
                texts = _texts(archive, entries, dist_info, filename)
    except (
        zipfile.BadZipFile, zlib.error, InvalidWheelFilename, NotImplementedError, ValueError, EOFError, OSError,
    ) as error:  # fmt: skip
        raise refuse(filename, f"it cannot be read: {error}") from error
    check_project(texts.get(f"{dist_info}/METADATA"), str(name), version, filename)
    record = texts.get(f"{dist_info}/RECORD")
    return Wheel(
        path=str(path),
        filename=filename,
        name=str(name),
        version=str(version),
        dist_info=dist_info,
        data=dist_info.removesuffix(".dist-info") + ".data",
        pure=read_format(texts.get(f"{dist_info}/WHEEL"), filename),
        entries=entries,
        record=read_record(record, (entry.name for entry in entries), dist_info, filename),
        scripts=read_scripts(texts.get(f"{dist_info}/entry_points.txt", b""), filename),
    )


def _texts(
    archive: zipfile.ZipFile, entries: tuple[Entry, ...], dist_info: str, filename: str
) -> dict[str, bytes]:
    wanted = [f"{dist_info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")]
    for entry in entries:
        if entry.name in wanted and entry.size > _MAX_METADATA:
            raise refuse(filename, f"{entry.name!r} has {entry.size} bytes")
    return {entry.name: archive.read(entry.name) for entry in entries if entry.name in wanted}


def _entries(archive: zipfile.ZipFile, descriptor: int, filename: str) -> tuple[Entry, ...]:
    infos = archive.infolist()
    total, length = sum(i.file_size for i in infos), os.fstat(descriptor).st_size
    if total > _MAX_PLAIN or (total > _BOMB_FLOOR and total > _BOMB_RATIO * length):
        raise refuse(filename, f"{length} bytes would unpack to {total}")
    found: list[Entry] = []
    places: list[Place] = []
    seen: set[str] = set()
    for info in infos:
        check_name(info.orig_filename, filename)
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # noqa: PLR2004 - Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a device or pipe"
            raise refuse(filename, f"{info.filename!r} is {what}")
        if info.is_dir():
            places.append(place_of(info, descriptor, filename))
            continue
        if info.filename in seen:
            raise refuse(filename, f"{info.filename!r} is in it twice")
        seen.add(info.filename)
        found.append(_entry(info, descriptor, places, filename))
    check_whole(places, archive.start_dir, filename)
    _check_tree(seen, filename)
    check_alike(seen, filename)
    return tuple(sorted(found))


def _entry(info: zipfile.ZipInfo, descriptor: int, places: list[Place], filename: str) -> Entry:
    name = info.filename
    if info.flag_bits & ENCRYPTED:
        raise refuse(filename, f"{name!r} is encrypted")
    if info.compress_type not in (STORED, DEFLATED):
        raise refuse(
            filename, f"{name!r} is compressed by method {info.compress_type}, which wheels do not use"
        )
    place = place_of(info, descriptor, filename)
    places.append(place)
    if info.compress_type == STORED and info.compress_size != info.file_size:
        raise refuse(filename, f"{name!r} is stored with two different sizes")
    return Entry(
        name=name,
        offset=place.data,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        method=info.compress_type,
        executable=bool(info.external_attr >> 16 & 0o111) and info.create_system == 3,  # noqa: PLR2004
    )


def _check_tree(names: set[str], filename: str) -> None:
    folders: set[str] = set()
    for name in names:
        while (name := name.rpartition("/")[0]) and name not in folders:
            folders.add(name)
    for name in sorted(folders & names):
        raise refuse(filename, f"{name!r} is both a file and a folder")


def _dist_info(entries: tuple[Entry, ...], name: str, version: Version, filename: str) -> str:
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    tops = {e.name.split("/")[0] for e in entries if "/" in e.name}
    folders = {folder for folder in tops if folder.endswith(".dist-info")}
    if len(folders) != 1:
        raise refuse(filename, f"it has {len(folders)} metadata folders instead of one")
    folder = folders.pop()
    said, _, said_version = folder.removesuffix(".dist-info").rpartition("-")
    try:
        same = canonicalize_name(said) == name and Version(said_version) == version
    except InvalidVersion:
        same = False
    if not same:
        raise refuse(filename, f"its metadata folder is {folder}")
    return folder
