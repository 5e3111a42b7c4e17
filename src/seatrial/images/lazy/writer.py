"""Writing a layer as eStargz: every file's content is in gzip members of its own, and a table says where.

It takes what a `LayerWriter` takes. Deflate streams of wheels become members as they are; a file larger than a chunk
is packed again in chunks, so that a program that maps one page of it fetches one chunk and not all of it.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Self

from seatrial.errors import SeatrialError
from seatrial.images.assemble import tar
from seatrial.images.assemble.packing import GZIP_HEADER, gzip_trailer
from seatrial.images.lazy.spool import Spool
from seatrial.images.lazy.stream import Stream, member_of
from seatrial.images.lazy.toc import CHUNK, OWN_NAMES, Row, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from seatrial.images.assemble.layer import WrittenLayer

FORMAT = 1
"""Part of every key of such a layer: raise it when its bytes change for the same inputs."""
_ELSEWHERE = 64 << 10  # bytes from which packing on another thread is worth it
_WAITING = 256
# Layers are written side by side, and each that packs a large file holds a few chunks for every thread.
_MOST_THREADS = 4


class NotLazyError(SeatrialError):
    """A layer that is pulled lazily cannot hold this entry."""


class LazyWriter:
    """Writes one layer to `out`, as `LayerWriter` does.

    `first` are paths whose files come first, up to a landmark: readers fetch that part at once. Of large files
    `threads` chunks are packed side by side; the bytes do not depend on how many.
    """

    def __init__(
        self, out: IO[bytes], *, first: frozenset[str] = frozenset(), threads: int | None = None
    ) -> None:
        self._stream = Stream(out)
        self._sink: Stream | Spool = Spool(first) if first else self._stream
        if not first:
            self._stream.landmark(first=False)
        self._threads = threads or min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Callable[[], None]] = deque()
        self._flying = 0
        self._open = _Content()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if isinstance(self._sink, Spool):
            self._sink.close()
        self._stream.close()

    def add_directory(self, name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        row = Row(
            name=name.rstrip("/") + "/", type="dir", mode=mode, uid=uid, gid=gid, modtime=moment(tar.EPOCH)
        )
        self.add_row(row, tar.header(name, kind=tar.DIRECTORY, mode=mode, uid=uid, gid=gid))

    def add_symlink(
        self, name: str, target: str, *, uid: int = 0, gid: int = 0, mtime: int = tar.EPOCH
    ) -> None:
        header = tar.header(name, kind=tar.SYMLINK, target=target, mode=0o777, uid=uid, gid=gid, mtime=mtime)
        self.add_row(
            Row(name=name, type="symlink", link=target, mode=0o777, uid=uid, gid=gid, modtime=moment(mtime)),
            header,
        )

    def add_hard_link(self, name: str, target: str) -> None:
        """Another name of the file `target`, which this layer has already."""
        row = Row(name=name, type="hardlink", link=target, mode=0o644, modtime=moment(tar.EPOCH))
        self.add_row(row, tar.header(name, kind=tar.HARD_LINK, target=target))

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
        self.add_pieces(
            name, len(content), [content], mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs
        )

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
        """A file of `size` bytes that comes in pieces."""
        self._add_file(name, size, mode, uid, gid, mtime, xattrs)
        for piece in pieces:
            self.plain(piece)
        self._end()

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
        """A file of `size` bytes whose deflate stream is at hand; see `LayerWriter.member`."""
        self._add_file(name, size, mode, uid, gid, mtime, xattrs)
        self._open.spliced = 0 < size <= CHUNK
        yield
        self._end()

    def plain(self, data: bytes) -> None:
        """Content as it is in the tar."""
        self._open.add(data)
        while self._open.size >= CHUNK and not self._open.spliced:
            self._chunk(self._open.take(CHUNK))

    def packed(self, data: bytes) -> None:
        """Bytes of the deflate stream; those of a large file are not needed."""
        if self._open.spliced:
            self._open.packed.append(data)

    def close_member(self, crc: int, size: int) -> None:
        """The trailer of a member: CRC-32 and length of its plain content."""
        self.packed(gzip_trailer(crc, size))

    def add_row(self, row: Row, header: bytes, pieces: Iterable[bytes] = ()) -> None:
        """An entry of any kind with its tar header as it is; `pieces` are the content of a file.

        Raises:
            NotLazyError: the table cannot hold its name, or it has the name of a file of the format itself.
        """
        self._begin(row, header)
        for piece in pieces:
            self.plain(piece)
        self._end()

    def finish(self) -> WrittenLayer:
        """End the archive and return its digests, and what a manifest has to say of it."""
        while self._waiting:
            self._waiting.popleft()()
        if isinstance(self._sink, Spool):
            self._sink.replay(self._stream)
        return self._stream.finish()

    def _add_file(
        self,
        name: str,
        size: int,
        mode: int,
        uid: int,
        gid: int,
        mtime: int,
        xattrs: Mapping[str, bytes] | None,
    ) -> None:
        row = Row(
            name=name, type="reg", size=size, mode=mode, uid=uid, gid=gid, modtime=moment(mtime),
            xattrs=dict(sorted((xattrs or {}).items())),
        )  # fmt: skip
        self._begin(row, tar.header(name, size=size, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs))

    def _begin(self, row: Row, header: bytes) -> None:
        _check_name(row)
        self._open = _Content()
        self._do(partial(self._sink.begin, row, header))

    def _end(self) -> None:
        content = self._open
        if content.spliced:
            plain = content.take(content.size)
            digest = hashlib.sha256(plain).hexdigest()
            content.whole.update(plain)
            self._do(partial(self._sink.chunk, GZIP_HEADER + b"".join(content.packed), plain, digest))
        elif content.size:
            self._chunk(content.take(content.size))
        digest = content.whole.hexdigest()
        self._do(partial(self._sink.end, digest))
        self._open = _Content()

    def _chunk(self, plain: bytes) -> None:
        self._open.whole.update(plain)
        if len(plain) < _ELSEWHERE:
            self._do(partial(self._sink.chunk, *_packed(plain)))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        job = self._pool.submit(_packed, plain)

        def write() -> None:
            self._flying -= 1
            self._sink.chunk(*job.result())

        self._flying += 1
        self._waiting.append(write)
        self._catch_up()

    def _do(self, write: Callable[[], None]) -> None:
        """Write now, or after what is still being packed."""
        if self._waiting:
            self._waiting.append(write)
            self._catch_up()
        else:
            write()

    def _catch_up(self) -> None:
        while self._waiting and (self._flying > self._threads + 1 or len(self._waiting) > _WAITING):
            self._waiting.popleft()()


class _Content:
    """The content of the file that is being written, as far as it is not in a chunk."""

    def __init__(self) -> None:
        self.size = 0
        self.spliced = False
        self.packed: list[bytes] = []
        self.whole = hashlib.sha256()
        self._pieces: list[bytes] = []

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self.size += len(data)

    def take(self, size: int) -> bytes:
        joined = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = [joined[size:]] if len(joined) > size else []
        self.size = max(0, len(joined) - size)
        return joined[:size]


def _packed(plain: bytes) -> tuple[bytes, bytes, str]:
    return member_of(plain), plain, hashlib.sha256(plain).hexdigest()


def _check_name(row: Row) -> None:
    for text in (row.name, row.link):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NotLazyError(
                "this name is not UTF-8, so a layer that is pulled lazily cannot hold it",
                where=text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
                fix="rename the file, exclude it, or assemble without --lazy",
            ) from error
    if row.name.strip("/").removeprefix("./") in OWN_NAMES:
        raise NotLazyError(
            f"a layer that is pulled lazily has its own file {row.name}", where=row.name,
            fix="rename the file, exclude it, or assemble without --lazy",
        )  # fmt: skip
