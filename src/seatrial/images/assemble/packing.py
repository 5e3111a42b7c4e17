"""The one place that compresses what goes into a layer, so that its bytes are the same wherever it is made.

Most of a layer is not compressed here at all but taken over from wheels. The compressor is libdeflate: its bytes
depend on its version alone. ISA-L, zlib and zlib-ng do not give the same on x86-64 and on ARM, or from one
distribution to the next.
"""

from __future__ import annotations

import struct

LEVEL = 1
# No name, no time, "fastest", unknown system: nothing of this machine. Source: RFC 1952 section 2.3.
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"


def pack(data: bytes) -> bytes:
    """A whole raw deflate stream of `data`."""
    from deflate import deflate_compress

    return bytes(deflate_compress(data, LEVEL))


def gzip_member(data: bytes) -> bytes:
    """`data` as one gzip member; one after another they are a gzip file."""
    from isal import isal_zlib

    return GZIP_HEADER + pack(data) + gzip_trailer(isal_zlib.crc32(data), len(data))


def gzip_trailer(crc: int, size: int) -> bytes:
    """CRC-32 and length of the plain content of a gzip member."""
    return struct.pack("<II", crc, size & 0xFFFFFFFF)
