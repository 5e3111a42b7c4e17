"""Read what the dynamic loader reads of an ELF file: machine, interpreter, needed libraries, versions, search paths.

Sources: System V ABI, "Object Files" and "Dynamic Linking"; LSB Core 5.0, "Symbol Versioning"; ld.so(8).
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAGIC = b"\x7fELF"
MACHINES = {
    "amd64": (62, 2),
    "arm64": (183, 2),
    "386": (3, 1),
    "arm": (40, 1),
    "ppc64le": (21, 2),
    "s390x": (22, 2),
    "riscv64": (243, 2),
}
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29
_VERSIONS_OFFERED, _VERSIONS_WANTED = 0x6FFFFFFC, 0x6FFFFFFE
_WEAK = 2
# A chain in a damaged file may never end, and a name need not either.
_MOST_VERSIONS, _MOST_TAGS, _LONGEST_NAME = 10_000, 10_000, 4096
_BIG_ENDIAN, _WIDE = 2, 2


class Elf(NamedTuple):
    """`machine` and `width` (1: 32 bit, 2: 64 bit) as in `MACHINES`; paths are not expanded.

    `wanted` are (library, version) such as (libc.so.6, GLIBC_2.34) without which the loader refuses the object,
    `offered` the versions that the object itself defines.
    """

    machine: int
    width: int
    interpreter: str
    needed: tuple[str, ...]
    soname: str
    rpath: str
    runpath: str
    wanted: tuple[tuple[str, str], ...] = ()
    offered: tuple[str, ...] = ()


def read(path: Path) -> Elf | None:
    """The dynamic part of a file; None when it is no ELF file, or one so damaged that no loader would take it."""
    try:
        with path.open("rb") as stream:
            if stream.read(4) != MAGIC:
                return None
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _parse(content)
    except (OSError, ValueError, OverflowError, struct.error, IndexError):
        return None


def parse(content: mmap.mmap | bytes) -> Elf | None:
    """As `read`, of content that is at hand."""
    try:
        return _parse(content) if content[:4] == MAGIC else None
    except (ValueError, OverflowError, struct.error, IndexError):
        return None


def _parse(content: mmap.mmap | bytes) -> Elf:
    width, endian = content[4], ">" if content[5] == _BIG_ENDIAN else "<"
    wide = width == _WIDE
    (machine,) = struct.unpack_from(endian + "H", content, 18)
    (table,) = struct.unpack_from(endian + ("Q" if wide else "I"), content, 32 if wide else 28)
    entry_size, count = struct.unpack_from(endian + "HH", content, 54 if wide else 42)
    loads: list[tuple[int, int, int]] = []
    dynamic, interpreter = (0, 0), ""
    for number in range(count):
        at = table + number * entry_size
        if wide:
            kind, _, offset, address, _, size = struct.unpack_from(endian + "IIQQQQ", content, at)
        else:
            kind, offset, address, _, size = struct.unpack_from(endian + "IIIII", content, at)
        if kind == _LOAD:
            loads.append((address, offset, size))
        elif kind == _DYNAMIC:
            dynamic = (offset, size)
        elif kind == _INTERPRETER:
            interpreter = (
                content[offset : offset + min(size, _LONGEST_NAME)].split(b"\0")[0].decode(errors="replace")
            )
    tags = _tags(content, dynamic, endian, wide=wide)
    strings = _offset(dict(tags).get(_STRINGS, 0), loads)

    def text(value: int) -> str:
        start = strings + value
        end = content.find(b"\0", start, start + _LONGEST_NAME)
        return content[start:end].decode(errors="replace") if end >= 0 else ""

    def one(tag: int) -> str:
        return next((text(value) for found, value in tags if found == tag), "")

    needed = tuple(text(value) for tag, value in tags if tag == _NEEDED)
    wanted = _wanted(content, _offset(dict(tags).get(_VERSIONS_WANTED, 0), loads), endian, text)
    offered = _offered(content, _offset(dict(tags).get(_VERSIONS_OFFERED, 0), loads), endian, text)
    return Elf(machine, width, interpreter, needed, one(_SONAME), one(_RPATH), one(_RUNPATH), wanted, offered)


def _wanted(
    content: mmap.mmap | bytes, at: int, endian: str, text: Callable[[int], str]
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    while at and len(found) < _MOST_VERSIONS:
        _, count, file, aux, following = struct.unpack_from(endian + "HHIII", content, at)
        entry = at + aux
        for _ in range(count):
            _, flags, _, name, step = struct.unpack_from(endian + "IHHII", content, entry)
            if not flags & _WEAK:
                found.append((text(file), text(name)))
            entry += step
        at = at + following if following else 0
    return tuple(found)


def _offered(content: mmap.mmap | bytes, at: int, endian: str, text: Callable[[int], str]) -> tuple[str, ...]:
    found: list[str] = []
    while at and len(found) < _MOST_VERSIONS:
        _, _, _, _, _, aux, following = struct.unpack_from(endian + "HHHHIII", content, at)
        found.append(text(struct.unpack_from(endian + "I", content, at + aux)[0]))
        at = at + following if following else 0
    return tuple(found)


def _tags(
    content: mmap.mmap | bytes, dynamic: tuple[int, int], endian: str, *, wide: bool
) -> list[tuple[int, int]]:
    offset, size = dynamic
    form = endian + ("qQ" if wide else "iI")
    tags: list[tuple[int, int]] = []
    for at in range(offset, offset + size, struct.calcsize(form)):
        tag, value = struct.unpack_from(form, content, at)
        if tag == 0 or len(tags) == _MOST_TAGS:
            break
        tags.append((tag, value))
    return tags


def _offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    for start, offset, size in loads:
        if start <= address < start + size:
            return address - start + offset
    return address
