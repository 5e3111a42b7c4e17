"""Which GPUs the CUDA code in a shared object is for, by reading headers alone: no CUDA tool, no GPU, no import.

A compiler puts the code of each object file into a container of its own: a header (magic, version, size of the
header, size of the rest), then entries, each with a header that says what it is (1: PTX, 2: machine code), how long
header and content are, and for which architecture. Nothing is decompressed. Checked against `cuobjdump`.
Layout of containers: github.com/n-eiling/cuda-fatbin-decompression; ELF sections: System V ABI, "Sections".
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.testing.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONTAINER = struct.pack("<I", 0xBA55ED50)
_SECTIONS = (b".nv_fatbin", b"__nv_relfatbin")
_PTX, _MACHINE_CODE = 1, 2
_SHORTEST_HEADER = 32
_WIDE, _LITTLE_ENDIAN = 2, 1
# Damaged files: no section table is longer, and no architecture has a higher number.
_MOST_SECTIONS, _HIGHEST = 65_536, 999


class Code(NamedTuple):
    """Architectures as numbers such as 90: those with machine code (`sm`), and those as PTX (`ptx`)."""

    sm: frozenset[int] = frozenset()
    ptx: frozenset[int] = frozenset()

    def __or__(self, other: object) -> Code:
        if not isinstance(other, Code):
            return NotImplemented
        return Code(self.sm | other.sm, self.ptx | other.ptx)


def read(path: Path) -> Code | None:
    """The architectures in a file; None when it is no 64-bit ELF file or holds no CUDA code."""
    try:
        with path.open("rb") as stream:
            if stream.read(6) != MAGIC + bytes((_WIDE, _LITTLE_ENDIAN)):
                return None
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = Code()
                for start, size in _fatbin_sections(content):
                    found |= _containers(content, start, min(start + size, len(content)))
                return found if found.sm or found.ptx else None
    except (OSError, ValueError, OverflowError, struct.error, IndexError):
        return None


def _fatbin_sections(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Offset and size of the sections that hold containers."""
    (table,) = struct.unpack_from("<Q", content, 40)
    entry, count, names = struct.unpack_from("<HHH", content, 58)
    if not table or entry < struct.calcsize("<IIQQQQ"):
        return
    _, _, _, _, names_at, names_size = struct.unpack_from("<IIQQQQ", content, table + names * entry)
    text = content[names_at : names_at + min(names_size, 1 << 20)]
    for number in range(min(count, _MOST_SECTIONS)):
        name, kind, _, _, offset, size = struct.unpack_from("<IIQQQQ", content, table + number * entry)
        holds_bytes = kind != 8  # noqa: PLR2004 - SHT_NOBITS: nothing in the file
        if holds_bytes and text[name : text.find(b"\0", name)] in _SECTIONS:
            yield offset, size


def _containers(content: mmap.mmap, start: int, end: int) -> Code:
    sm: set[int] = set()
    ptx: set[int] = set()
    at = content.find(_CONTAINER, start, end)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", content[at + 6 : at + 16])
        place, last = at + header, min(at + header + size, end)
        while header and place + _SHORTEST_HEADER <= last:
            kind, _, length, payload = struct.unpack_from("<HHIQ", content, place)
            (number,) = struct.unpack_from("<I", content, place + 28)
            if length < _SHORTEST_HEADER or number > _HIGHEST:
                break
            if kind == _PTX:
                ptx.add(number)
            elif kind == _MACHINE_CODE:
                sm.add(number)
            place += length + payload
        # Containers are aligned, with zeros between them.
        at = content.find(_CONTAINER, max(last, at + 4), end)
    return Code(frozenset(sm), frozenset(ptx))
