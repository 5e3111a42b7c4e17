"""The bytes of an eStargz layer, entry by entry, hashed while they are written."""

from __future__ import annotations

import hashlib
from typing import IO

import msgspec

from seatrial.images.assemble import tar
from seatrial.images.assemble.layer import Lane, WrittenLayer
from seatrial.images.assemble.packing import GZIP_HEADER, gzip_trailer
from seatrial.images.lazy.toc import (
    DIGEST,
    LANDMARK,
    NO_PREFETCH,
    PLAIN_SIZE,
    PREFETCH,
    Row,
    footer,
    moment,
    table,
)

_BATCH = 1 << 20
# What is packed here is packed once and fetched often; wheels are packed about as well.
_LEVEL = 6


def member_of(plain: bytes) -> bytes:
    """`plain` as one gzip member; its bytes depend on libdeflate's version alone."""
    from deflate import deflate_compress
    from isal import isal_zlib

    packed = bytes(deflate_compress(plain, _LEVEL))
    return GZIP_HEADER + packed + gzip_trailer(isal_zlib.crc32(plain), len(plain))


class Stream:
    """Takes entries in their order: `begin`, the chunks of a file's content, `end`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._plain, self._packed = Lane(), Lane()
        self._plain_size = self._size = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._rows: list[Row] = []
        self._first = 0  # where the row of the current entry is
        self._at = 0  # bytes of its content so far
        self._open = True

    def begin(self, row: Row, header: bytes) -> None:
        self._pend(header)
        self._rows.append(row)
        self._first, self._at = len(self._rows) - 1, 0

    def chunk(self, member: bytes, plain: bytes, digest: str) -> None:
        """The next piece of the content: as a gzip member, as it is, and its sha256."""
        self._flush()
        first = self._rows[self._first]
        rest = first.size - self._at
        place: dict[str, object] = {
            "offset": self._size,
            "chunk_offset": self._at,
            "chunk_digest": f"sha256:{digest}",
            # The last chunk of a file says no size: it goes to the file's end.
            "chunk_size": len(plain) if len(plain) < rest else 0,
        }
        if self._at:
            self._rows.append(msgspec.structs.replace(Row(name=first.name, type="chunk"), **place))
        else:
            self._rows[self._first] = msgspec.structs.replace(first, **place)
        self._at += len(plain)
        self._write(member, plain)

    def end(self, digest: str) -> None:
        """The end of the entry; `digest` is the sha256 of a file's whole content."""
        row = self._rows[self._first]
        if row.type == "reg":
            self._rows[self._first] = msgspec.structs.replace(row, digest=f"sha256:{digest}")
            if pad := tar.padding(row.size):
                self._pend(pad)

    def landmark(self, *, first: bool) -> None:
        """The end of what is fetched at once, or that nothing is."""
        name, digest = PREFETCH if first else NO_PREFETCH, hashlib.sha256(LANDMARK).hexdigest()
        row = Row(name=name, type="reg", size=len(LANDMARK), mode=0o644, modtime=moment(tar.EPOCH))
        self.begin(row, tar.header(name, size=len(LANDMARK)))
        self.chunk(member_of(LANDMARK), LANDMARK, digest)
        self.end(digest)

    def finish(self) -> WrittenLayer:
        """Write the table and the footer, and return the digests and annotations of the layer."""
        self._flush()
        last, place = table(self._rows), self._size
        self._write(member_of(last.plain), last.plain)
        self._write(footer(place), b"")
        self._open = False
        diff_id, digest = self._plain.close(), self._packed.close()
        notes = {DIGEST: last.digest, PLAIN_SIZE: str(self._plain_size)}
        return WrittenLayer(digest=digest, diff_id=diff_id, size=self._size, annotations=notes)

    def close(self) -> None:
        """Let go of everything; after `finish` nothing is left to do."""
        if self._open:
            self._open = False
            self._plain.close()
            self._packed.close()

    def _pend(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Headers that wait become a member of their own."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending, self._pending_size = [], 0
            self._write(member_of(data), data)

    def _write(self, packed: bytes, plain: bytes) -> None:
        self._out.write(packed)
        self._packed.update(packed)
        self._size += len(packed)
        if plain:
            self._plain.update(plain)
            self._plain_size += len(plain)
