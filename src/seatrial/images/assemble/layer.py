"""Writing a layer: a tar of many gzip members, hashed while it is written.

A member holds either headers and small content, or the deflate stream of one file taken over as it is.
Source: RFC 1952 section 2.2 (a gzip file is a series of members).
"""

from __future__ import annotations

import hashlib
import queue
import struct
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Self

import msgspec

from seatrial.images.assemble import tar
from seatrial.images.assemble.packing import GZIP_HEADER, gzip_member, gzip_trailer, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

_BATCH = 1 << 20
_FEW = 32  # pieces of a batch
_STORED_LIMIT = 0xFFFF


class WrittenLayer(msgspec.Struct, frozen=True, kw_only=True):
    """Digests (`sha256:…`) of the compressed and the plain layer, and the compressed size in bytes.

    `annotations` are what a manifest has to say of it.
    """

    digest: str
    diff_id: str
    size: int
    annotations: dict[str, str] = {}


class Lane:
    """Hashes a stream on a thread of its own. What it is given must not change afterwards."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._batch: list[bytes] = []
        self._waiting = 0
        self._queue: queue.Queue[list[bytes] | None] = queue.Queue(4)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        self._batch.append(data)
        self._waiting += len(data)
        if self._waiting >= _BATCH:
            self._queue.put(self._batch)
            self._batch, self._waiting = [], 0

    def close(self) -> str:
        """Wait for the rest and return `sha256:…`."""
        self._queue.put(self._batch)
        self._queue.put(None)
        self._thread.join()
        return f"sha256:{self._hash.hexdigest()}"

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            if len(batch) <= _FEW:
                for piece in batch:
                    self._hash.update(piece)
            else:  # each hashing lets other threads run, which costs more than copying what is small
                self._hash.update(b"".join(batch))


class LayerWriter:
    """Writes one layer to `out`. Leave the block after `finish`, or by an error: then `out` is worth nothing."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._plain, self._packed = Lane(), Lane()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._worth_packing = False
        self._size = 0
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._plain.close()
            self._packed.close()

    def add_directory(self, name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        self._pend(tar.header(name, kind=tar.DIRECTORY, mode=mode, uid=uid, gid=gid))

    def add_symlink(
        self, name: str, target: str, *, uid: int = 0, gid: int = 0, mtime: int = tar.EPOCH
    ) -> None:
        self._pend(
            tar.header(name, kind=tar.SYMLINK, target=target, mode=0o777, uid=uid, gid=gid, mtime=mtime)
        )

    def add_hard_link(self, name: str, target: str) -> None:
        """Another name of the file `target`, which this layer has already."""
        self._pend(tar.header(name, kind=tar.HARD_LINK, target=target))

    def add_bytes(
        self,
        name: str,
        content: bytes,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int = tar.EPOCH,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        """A file whose content is at hand."""
        size = len(content)
        self._pend(tar.header(name, size=size, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs))
        if size:
            self._worth_packing = True
            self._pend(content)
            self._pend(tar.padding(size))

    def add_pieces(
        self,
        name: str,
        size: int,
        pieces: Iterable[bytes],
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int = tar.EPOCH,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        """A file of `size` bytes that comes in pieces; each is compressed as a gzip member of its own."""
        self._pend(tar.header(name, size=size, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs))
        self._flush()
        for piece in pieces:
            self.plain(piece)
            self.packed(gzip_member(piece))
        if pad := tar.padding(size):
            self._pend(pad)

    @contextmanager
    def member(
        self,
        name: str,
        size: int,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int = tar.EPOCH,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> Iterator[None]:
        """A file of `size` bytes that gets a gzip member of its own.

        Inside the block call `packed` with its deflate stream, `plain` with the same content inflated, and
        at its end `close_member`.
        """
        self._pend(tar.header(name, size=size, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs))
        self._flush()
        self.packed(GZIP_HEADER)
        yield
        if pad := tar.padding(size):
            self._pend(pad)

    def plain(self, data: bytes) -> None:
        """Content as it is in the tar."""
        self._plain.update(data)

    def packed(self, data: bytes) -> None:
        """Bytes of the gzip stream."""
        self._out.write(data)
        self._packed.update(data)
        self._size += len(data)

    def close_member(self, crc: int, size: int) -> None:
        """The trailer of a member: CRC-32 and length of its plain content."""
        self.packed(gzip_trailer(crc, size))

    def finish(self) -> WrittenLayer:
        """End the archive and return its digests."""
        self._pend(bytes(2 * tar.BLOCK))
        self._flush()
        self._finished = True
        diff_id, digest = self._plain.close(), self._packed.close()
        return WrittenLayer(digest=digest, diff_id=diff_id, size=self._size)

    def _pend(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Write what waits as one member: headers alone are stored, content is compressed."""
        from isal import isal_zlib

        data = b"".join(self._pending)
        if not data:
            return
        self._plain.update(data)
        self.packed(GZIP_HEADER + (pack(data) if self._worth_packing else stored(data)))
        self.close_member(isal_zlib.crc32(data), len(data))
        self._pending, self._pending_size, self._worth_packing = [], 0, False


def stored(data: bytes) -> bytes:
    """A deflate stream that holds `data` as it is. Source: RFC 1951 section 3.2.4."""
    blocks = []
    for start in range(0, len(data), _STORED_LIMIT):
        piece = data[start : start + _STORED_LIMIT]
        final = start + _STORED_LIMIT >= len(data)
        blocks.append(struct.pack("<BHH", final, len(piece), len(piece) ^ 0xFFFF) + piece)
    return b"".join(blocks)
