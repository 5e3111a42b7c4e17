"""Taking one file of a wheel into a layer: its own deflate stream becomes a gzip member, nothing is packed again.

Only streams that are provably whole are taken over: inflating reaches the final block, nothing is left over,
length, CRC and the hash in RECORD agree. `zipfile` accepts all of these faults, and a layer made of such a
stream could not be pulled.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, cast

from deflate import DeflateError, deflate_decompress
from isal import isal_zlib

from seatrial.images.assemble.refusal import refuse
from seatrial.images.assemble.wheel import DEFLATED, STORED, Entry, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.images.assemble.layer import LayerWriter

_CHUNK = 1 << 20
_WHOLE_AGAIN = 8 << 20
_PIECE = 1 << 18  # of packed bytes: what one of them inflates to mostly fits a chunk, else the rest is copied
# A member of its own costs every reader more than packing a small file again costs us; and what small files and
# their headers share is then stored once.
_PACKED_TOGETHER = 16 << 10


def splice(
    writer: LayerWriter,
    descriptor: int,
    entry: Entry,
    recorded: Recorded | None,
    *,
    name: str,
    mode: int,
    filename: str,
) -> bytes:
    """Write `entry` of the open wheel as the file `name` and return the sha256 of its content.

    Raises:
        WheelError: the stream is not whole or not what RECORD says; the layer is worth nothing then.
    """
    if entry.size <= _PACKED_TOGETHER and entry.packed <= _CHUNK:
        content, digest = read_entry(descriptor, entry, recorded, filename)
        writer.add_bytes(name, content, mode=mode)
        return digest
    if entry.method == DEFLATED and (whole := _whole(descriptor, entry, recorded)) is not None:
        packed, content, digest = whole
        with writer.member(name, entry.size, mode=mode):
            writer.packed(packed)
            writer.plain(content)
            writer.close_member(entry.crc, entry.size)
        return digest
    return _splice_in_pieces(writer, descriptor, entry, _Check(entry, recorded, filename), name, mode)


def _splice_in_pieces(
    writer: LayerWriter, descriptor: int, entry: Entry, check: _Check, name: str, mode: int
) -> bytes:
    if entry.method == STORED:
        writer.add_pieces(
            name, entry.size, check.passing(_read(descriptor, entry, check.filename)), mode=mode
        )
        return check.finish()
    with writer.member(name, entry.size, mode=mode):
        for packed, plain in _inflate(descriptor, entry, check.filename):
            if packed:
                writer.packed(packed)
            if plain:
                check.update(plain)
                writer.plain(plain)
        digest = check.finish()
        writer.close_member(entry.crc, entry.size)
    return digest


def read_entry(
    descriptor: int, entry: Entry, recorded: Recorded | None, filename: str
) -> tuple[bytes, bytes]:
    """The content of a file and its sha256, with the same checks.

    Raises:
        WheelError: the stream is not whole or not what RECORD says.
    """
    if entry.method == DEFLATED and (whole := _whole(descriptor, entry, recorded)) is not None:
        return whole[1:]
    check, parts = _Check(entry, recorded, filename), []
    for plain in _plain(descriptor, entry, filename):
        check.update(plain)
        parts.append(plain)
    return (parts[0] if len(parts) == 1 else b"".join(parts)), check.finish()


def digest_of(descriptor: int, entry: Entry, recorded: Recorded | None, filename: str) -> bytes:
    """The sha256 of a file of any size, with the same checks.

    Raises:
        WheelError: the stream is not whole or not what RECORD says.
    """
    check = _Check(entry, recorded, filename)
    for plain in _plain(descriptor, entry, filename):
        check.update(plain)
    return check.finish()


def _plain(descriptor: int, entry: Entry, filename: str) -> Iterator[bytes]:
    if entry.method == STORED:
        return _read(descriptor, entry, filename)
    return (plain for _, plain in _inflate(descriptor, entry, filename))


def _whole(descriptor: int, entry: Entry, recorded: Recorded | None) -> tuple[bytes, bytes, bytes] | None:
    """Packed bytes, content and sha256 of a file of ordinary size, when all is as it should be.

    Thousands of small files decide how long a wheel takes. What is wrong with one is found out piece by piece.
    """
    if entry.digest:
        return _whole_again(descriptor, entry)
    if entry.size > _CHUNK or entry.packed > _CHUNK:
        return None
    packed, inflater = os.pread(descriptor, entry.packed, entry.offset), isal_zlib.decompressobj(-15)
    try:
        content = inflater.decompress(packed, entry.size + 1)
    except cast("type[Exception]", isal_zlib.error):
        return None
    if (
        not inflater.eof
        or inflater.unused_data
        or len(content) != entry.size
        or isal_zlib.crc32(content) != entry.crc
    ):
        return None
    digest = hashlib.sha256(content).digest()
    if recorded is None or (recorded.digest == digest and recorded.size in (None, entry.size)):
        return packed, content, digest
    return None


def _whole_again(descriptor: int, entry: Entry) -> tuple[bytes, bytes, bytes] | None:
    """The same for a stream that was proven whole before; libdeflate would not see that something is left over."""
    if entry.size > _WHOLE_AGAIN or entry.packed > _WHOLE_AGAIN:
        return None
    packed = os.pread(descriptor, entry.packed, entry.offset)
    try:
        content = deflate_decompress(packed, entry.size)
    except DeflateError:
        return None
    if len(packed) != entry.packed or len(content) != entry.size or isal_zlib.crc32(content) != entry.crc:
        return None
    return packed, cast("bytes", content), entry.digest  # nobody changes it


class _Check:
    """Counts, checksums and hashes a content and compares at the end."""

    def __init__(self, entry: Entry, recorded: Recorded | None, filename: str) -> None:
        self._entry, self._recorded, self.filename = entry, recorded, filename
        self._size = self._crc = 0
        self._sha256 = hashlib.sha256()
        other = recorded.algorithm if recorded and recorded.algorithm != "sha256" else None
        self._other = hashlib.new(other) if other else None

    def update(self, plain: bytes) -> None:
        self._size += len(plain)
        if self._size > self._entry.size:
            raise refuse(
                self.filename, f"{self._entry.name!r} is longer than the {self._entry.size} bytes it names"
            )
        self._crc = isal_zlib.crc32(plain, self._crc)
        if self._entry.digest:
            return
        self._sha256.update(plain)
        if self._other:
            self._other.update(plain)

    def passing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.update(piece)
            yield piece

    def finish(self) -> bytes:
        entry, recorded = self._entry, self._recorded
        if self._size != entry.size:
            raise refuse(
                self.filename, f"{entry.name!r} has {self._size} bytes, not the {entry.size} it names"
            )
        if self._crc != entry.crc:
            raise refuse(self.filename, f"{entry.name!r} is damaged: its checksum does not match")
        if entry.digest:
            return entry.digest
        if recorded is not None:
            digest = (self._other or self._sha256).digest()
            if digest != recorded.digest or recorded.size not in (None, self._size):
                raise refuse(self.filename, f"{entry.name!r} is not the file that RECORD describes")
        return self._sha256.digest()


def _inflate(descriptor: int, entry: Entry, filename: str) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of packed and plain pieces, at most 1 MiB each; they need not belong together."""
    inflater = isal_zlib.decompressobj(-15)
    # One byte more than there should be, so that a stream that is too long is seen without inflating all of it.
    limit = min(entry.size + 1, _CHUNK)
    try:
        for packed in _read(descriptor, entry, filename):
            if inflater.eof:
                raise refuse(filename, f"{entry.name!r} has bytes after its end")
            yield packed, inflater.decompress(packed, limit)
            while inflater.unconsumed_tail and not inflater.eof:
                yield b"", inflater.decompress(inflater.unconsumed_tail, limit)
        while not inflater.eof and (plain := inflater.decompress(b"", limit)):
            yield b"", plain
    except cast("type[Exception]", isal_zlib.error) as error:
        raise refuse(filename, f"{entry.name!r} is damaged: {error}") from error
    if not inflater.eof:
        raise refuse(filename, f"{entry.name!r} is cut off: its final block is missing")
    if inflater.unused_data:
        raise refuse(filename, f"{entry.name!r} has {len(inflater.unused_data)} bytes after its end")


def _read(descriptor: int, entry: Entry, filename: str) -> Iterator[bytes]:
    place, end = entry.offset, entry.offset + entry.packed
    while place < end:
        chunk = os.pread(descriptor, min(_PIECE, end - place), place)
        if not chunk:
            raise refuse(filename, f"the file ends within {entry.name!r}")
        place += len(chunk)
        yield chunk
