"""Wheels that were damaged or made to harm, each with what must be said of it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import stat
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from support import zips
from support.zips import Member, archive, deflated

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = json.loads((Path(__file__).parent.parent / "images" / "hostile" / "wheels.json").read_text("utf-8"))
NAME = "demo-1.0-py3-none-any.whl"
DIST = "demo-1.0.dist-info"
METADATA = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
BODY = bytes(range(256)) * 64


class Case(NamedTuple):
    """A file, and a pattern of what is said when it is refused (empty: it is taken)."""

    content: bytes
    why: str


def cases(site: str) -> dict[str, Callable[[], Case]]:
    """Every case by name. `site` is the package folder of the base, relative to its data folder."""
    found: dict[str, Callable[[], Case]] = {}
    for name, given in DATA["structure"].items():
        found[name] = partial(_case, given, site, given["why"])
    for name, given in DATA["harmless"].items():
        found[name] = partial(_case, given, site, "")
    for name, (why, make) in BYTES.items():
        found[name] = partial(_made, make, why)
    return found


def _case(given: dict[str, Any], site: str, why: str) -> Case:
    return Case(_structured(given, site), why)


def _made(make: Callable[[], bytes], why: str) -> Case:
    return Case(make(), why)


def _structured(given: dict[str, Any], site: str) -> bytes:
    dist = given.get("dist", DIST)
    files = {"demo/__init__.py": b"value = 1\n"}
    for path, text in given.get("files", {}).items():
        place = path.replace("SITE", site).replace("REPEAT256", "n" * 256)
        place = place.replace("DEEP100", "/".join(["d" * 40] * 100))
        files[place] = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    files[f"{dist}/METADATA"] = given.get("metadata", METADATA).encode()
    files[f"{dist}/WHEEL"] = given.get("wheel", WHEEL).encode()
    if "entry_points" in given:
        files[f"{dist}/entry_points.txt"] = given["entry_points"].encode()
    files = {path: content for path, content in files.items() if path != f"{dist}/{given.get('without')}"}
    if given.get("without") != "RECORD":
        files[f"{dist}/RECORD"] = _record(files, dist, given)
    return archive([Member(path.encode(), content) for path, content in files.items()])


def _record(files: dict[str, bytes], dist: str, given: dict[str, Any]) -> bytes:
    rows = {path: [path, _hash(content), str(len(content))] for path, content in files.items()}
    changed = given.get("record")
    if changed == []:
        del rows["demo/__init__.py"]
    elif changed:
        rows[changed[0]] = [rows[changed[0]][1] if field == "REAL" else field for field in changed]
    listed = list(rows.values())
    if extra := given.get("extra_record"):
        listed.append([_hash(b"x") if field == "REAL" else field for field in extra])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*listed, [f"{dist}/RECORD", "", ""]])
    return text.getvalue().encode()


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _members(*more: Member, body: bytes = BODY, **changes: Any) -> list[Member]:
    """A whole wheel whose file demo/big.bin is changed, with further files that RECORD lists."""
    big = Member(b"demo/big.bin", body, method=8, packed=deflated(body))._replace(**changes)
    files = {
        "demo/__init__.py": b"",
        "demo/big.bin": body,
        f"{DIST}/METADATA": METADATA.encode(),
        f"{DIST}/WHEEL": WHEEL.encode(),
    }
    files |= {one.name.decode("utf-8", "replace"): one.content for one in more}
    record = _record(files, DIST, {})
    plain = [
        Member(path.encode(), files[path])
        for path in ("demo/__init__.py", f"{DIST}/METADATA", f"{DIST}/WHEEL")
    ]
    return [*plain, big, *more, Member(f"{DIST}/RECORD".encode(), record)]


def _zip64(short: tuple[int, int, int], big: tuple[int, int, int]) -> bytes:
    """A wheel with a zip64 end: files, size and offset as both ends say them; -1 is the truth."""
    plain = archive(_members())
    end = plain.rindex(b"PK\x05\x06")
    _, _, _, files, _, size, place, _ = zips.END.unpack_from(plain, end)
    real = (files, size, place)
    wide = [r if b < 0 else b for r, b in zip(real, big, strict=True)]
    narrow = [r if s < 0 else s for r, s in zip(real, short, strict=True)]
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, wide[0], wide[0], wide[1], wide[2])
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return (
        plain[:end]
        + end64
        + locator
        + zips.END.pack(b"PK\x05\x06", 0, 0, narrow[0], narrow[0], narrow[1], narrow[2], 0)
    )


def _two_ends() -> bytes:
    """A second, whole archive in the comment of the first: the last end mark leads to other files than the first."""
    inner = archive(_members(body=b"other"))
    return archive(_members(), comment=inner)


def _quoted() -> bytes:
    """One file's data holds the header and data of the next, as the bombs of overlapping files do."""
    inner = (
        zips.LOCAL.pack(b"PK\x03\x04", 20, 0x800, 0, 0, 0x21, zlib.crc32(b"x"), 1, 1, 9, 0)
        + b"demo/in.x"
        + b"x"
    )
    raw = bytearray(archive(_members(Member(b"demo/in.x", b"x"), Member(b"demo/out.x", inner))))
    struct.pack_into("<L", raw, _central(raw, b"demo/in.x") + 42, raw.rindex(inner))
    return bytes(raw)


def _central(raw: bytearray, name: bytes) -> int:
    """Where the directory's entry of a file starts."""
    place = raw.index(b"PK\x01\x02")
    while raw[place + 46 : place + 46 + len(name)] != name:
        place = raw.index(b"PK\x01\x02", place + 4)
    return place


def _miscounted() -> bytes:
    raw = bytearray(archive(_members()))
    end = raw.rindex(b"PK\x05\x06")
    struct.pack_into("<2H", raw, end + 8, 4, 4)
    return bytes(raw)


def _without_middle() -> bytes:
    raw = archive(_members())
    return raw[: len(raw) // 2] + raw[-22:]


def _flipped() -> bytes:
    raw = bytearray(archive(_members()))
    place = raw.index(deflated(BODY))
    raw[place + 20] ^= 0x55
    return bytes(raw)


def _open_ended() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(BODY) + packer.flush(zlib.Z_FULL_FLUSH)


def _many() -> bytes:
    """The directory claims more files than any wheel has."""
    return _zip64((0xFFFF, -1, -1), (300_000, -1, -1))


ZEROS = 300 << 20
BYTES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no archive": ("no end of a zip archive", lambda: b"hello" * 100),
    "nothing": ("no end of a zip archive", lambda: b""),
    "cut off": ("no end of a zip archive", lambda: archive(_members())[:-200]),
    "cut in the middle": ("not where the end", _without_middle),
    "bytes before the archive": ("not where the end|before its first", lambda: archive(_members(), prefix=b"#!/bin/sh\nevil\n")),
    "bytes after the archive": ("bytes follow the end", lambda: archive(_members(), suffix=b"evil")),
    "two ends": ("read in two ways|bytes follow|not where the end", _two_ends),
    "two archives": ("bytes follow|not where the end|before its first", lambda: archive(_members(body=b"1")) + archive(_members())),
    "a file that the directory does not list": ("belong to no file", lambda: archive([*_members(), Member(b"demo/hidden.py", b"evil", listed=False)])),
    "bytes between files": ("belong to no file", lambda: archive(_members(before=b"\0" * 64))),
    "zip64 end with other numbers": ("contradict", lambda: _zip64((-1, -1, 0xFFFFFFFF), (7, -1, -1))),
    "zip64 end that is none": ("contradict", lambda: _zip64((-1, -1, 0xFFFFFFFF), (-1, -1, -1)).replace(b"PK\x06\x06", b"PK\x06\x00")),
    "more files than any wheel": ("300000 files", _many),
    "zip64 sizes that differ": ("other sizes in its own header", lambda: archive(_members(local_sizes=(0xFFFFFFFF, 0xFFFFFFFF), local_extra=struct.pack("<2H2Q", 1, 16, 5, 5)))),
    "sizes that differ": ("other sizes in its own header", lambda: archive(_members(local_sizes=(5, 5)))),
    "names that differ": ("another name in its own header", lambda: archive(_members(local_name=b"evil/big.bin"))),
    "a second name in an extra field": ("a second name", lambda: archive(_members(extra=struct.pack("<2HBL", 0x7075, 5 + 7, 1, zlib.crc32(b"demo/big.bin")) + b"evil.py"))),
    "a malformed extra field": ("malformed extra field|Corrupt extra field", lambda: archive(_members(extra=struct.pack("<2H", 0x7777, 500)))),
    "a zero byte in a name": ("does not show|other name|another name|not in it|does not list", lambda: archive(_members(Member(b"demo/x\0.py", b"")))),
    "the end counts other files": ("4 files at its end, and 5", _miscounted),
    "overlapping files": ("overlaps|belong to no file", _quoted),
    "encrypted": ("encrypted", lambda: archive(_members(flags=0x801))),
    "encrypted in its own header alone": ("encrypted", lambda: archive(_members(local_flags=0x801))),
    "bzip2": ("compressed by method 12", lambda: archive(_members(method=12))),
    "a flipped bit": ("damaged|not whole|cut off|after its end|RECORD|checksum|bytes", _flipped),
    "bytes after the last block": ("after its end", lambda: archive(_members(packed=deflated(BODY) + b"\0\0\0"))),
    "no last block": ("final block is missing|cut off", lambda: archive(_members(packed=_open_ended()))),
    "more content than it says": ("longer than|damaged", lambda: archive(_members(size=len(BODY) - 1, local_sizes=(len(deflated(BODY)), len(BODY) - 1)))),
    "less content than it says": ("bytes, not the", lambda: archive(_members(size=len(BODY) + 1))),
    "stored with two sizes": ("two different sizes", lambda: archive(_members(method=0, packed=BODY, size=5))),
    "twice": ("is in it twice", lambda: archive(_members(Member(b"demo/__init__.py", b"")))),
    "symbolic link": ("symbolic link", lambda: archive(_members(Member(b"demo/link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)))),
    "device": ("device or pipe", lambda: archive(_members(Member(b"demo/null", b"", mode=stat.S_IFCHR | 0o666)))),
    "bomb that says so": ("would unpack to", lambda: archive(_members(body=bytes(ZEROS)))),
    "bomb that lies": ("longer than|damaged", lambda: archive(_members(packed=deflated(bytes(ZEROS)), body=b"small"))),
}  # fmt: skip
