"""Zip archives written byte by byte, so that they can lie."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")


class Member(NamedTuple):
    """One file. What is given besides name and content is what the headers say of it."""

    name: bytes
    content: bytes = b""
    method: int = 0
    flags: int = 0x800
    mode: int = 0o100644
    packed: bytes | None = None
    size: int | None = None
    local_name: bytes | None = None
    local_flags: int | None = None
    local_sizes: tuple[int, int] | None = None
    local_extra: bytes = b""
    extra: bytes = b""
    listed: bool = True
    before: bytes = b""


def archive(
    members: list[Member], *, prefix: bytes = b"", comment: bytes = b"", suffix: bytes = b""
) -> bytes:
    """The archive; `prefix` and `suffix` are bytes around it that its offsets do not count."""
    out, central = bytearray(prefix), bytearray()
    for member in members:
        out += member.before
        packed = member.content if member.packed is None else member.packed
        size = len(member.content) if member.size is None else member.size
        crc, name, place = zlib.crc32(member.content), member.name, len(out) - len(prefix)
        local_name = name if member.local_name is None else member.local_name
        flags = member.flags if member.local_flags is None else member.local_flags
        sizes = member.local_sizes or (len(packed), size)
        out += LOCAL.pack(
            b"PK\x03\x04", 20, flags, member.method, 0, 0x21, crc, *sizes, len(local_name), len(member.local_extra)
        )  # fmt: skip
        out += local_name + member.local_extra + packed
        if member.listed:
            central += CENTRAL.pack(
                b"PK\x01\x02", 0x0314, 20, member.flags, member.method, 0, 0x21, crc, len(packed), size, len(name),
                len(member.extra), 0, 0, 0, member.mode << 16, place,
            ) + name + member.extra  # fmt: skip
    place = len(out) - len(prefix)
    count = sum(member.listed for member in members)
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), place, len(comment))
    return bytes(out + central + end + comment + suffix)


def deflated(content: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()
