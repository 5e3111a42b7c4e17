"""Unpack a layer once into the layer store: safely, verified, and whole or not at all.

The store's folders are described in `rootfs`.
Files belong to whoever unpacks; set-user-id bits, device nodes, extended attributes and owners stay in the index.
Whiteouts become what overlay reads with `userxattr`: character device 0:0 (which needs no privilege since
Linux 5.8) and `user.overlay.opaque`. Source: Documentation/filesystems/overlayfs.rst; OCI image-spec layer.md.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import msgspec

from seatrial import locks
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree, write_atomic
from seatrial.images import layout as oci
from seatrial.images.rootfs import FORMAT, LayerIndex, forget, layer_id, read_layer_index, store
from seatrial.images.runtimes import tar
from seatrial.images.runtimes.writing import Limits, write_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def unpack(layout: Path, layer: oci.Descriptor, diff_id: str, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
    """Make sure that the layer is in the store and return its short name.

    Raises:
        SeatrialError: the layer is damaged, is not what `diff_id` says, tries to leave its folder, grows
            beyond `limits`, or the disk is full. Nothing of it stays.
    """
    identity = layer_id(diff_id)
    place = store()
    with locks.locked(place / "locks" / identity, shared=True):
        if _present(place, identity, diff_id):
            return identity
    with locks.locked(place / "locks" / identity):
        if not _present(place, identity, diff_id):
            _remove_stale(place, identity)
            _unpack_new(place, layout, layer, diff_id, limits)
    return identity


def unpack_all(layout: Path, layers: Sequence[tuple[oci.Descriptor, str]]) -> list[str]:
    """Unpack several layers, given with their diff_ids, at the same time; short names in the same order.

    Raises:
        SeatrialError: as `unpack`, for the first that fails.
    """
    place = store()
    if all(_present(place, layer_id(diff_id), diff_id) for _, diff_id in layers):
        return [layer_id(diff_id) for _, diff_id in layers]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda pair: unpack(layout, *pair), layers))


def remove(identity: str) -> bool:
    """Remove a layer from the store unless someone uses it; says whether it is gone."""
    place = store()
    lock = locks.try_lock(place / "locks" / identity)
    if lock is None:
        return False
    try:
        _remove_stale(place, identity)
        if (place / "layers" / identity).exists():
            doomed = place / "tmp" / f"{identity}.{secrets.token_hex(4)}"
            (place / "layers" / identity).rename(doomed)
            forget()
            remove_tree(doomed)
        (place / "index" / identity).unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def sweep() -> None:
    """Remove what killed processes left half-done."""
    place = store()
    for left in (place / "tmp").iterdir():
        identity = left.name.partition(".")[0]
        lock = locks.try_lock(place / "locks" / identity)
        if lock is not None:
            try:
                remove_tree(left)
            finally:
                os.close(lock)


def _present(place: Path, identity: str, diff_id: str) -> bool:
    if not (place / "layers" / identity).is_dir():
        return False
    try:
        index = read_layer_index(place, identity)
    except SeatrialError:
        index = None
    if index is not None and index.format == FORMAT and index.diff_id == diff_id:
        return True
    if index is not None and index.diff_id != diff_id:
        raise SeatrialError(f"two layers share the short name {identity}", where=str(place))
    return False


def _remove_stale(place: Path, identity: str) -> None:
    for left in (place / "tmp").glob(f"{identity}.*"):
        remove_tree(left)


def _unpack_new(place: Path, layout: Path, layer: oci.Descriptor, diff_id: str, limits: Limits) -> None:
    identity = layer_id(diff_id)
    temporary = place / "tmp" / f"{identity}.{secrets.token_hex(4)}"
    temporary.mkdir(mode=0o755)
    blob = oci.blob_path(layout, layer.digest)
    try:
        index = unpack_stream(blob, temporary, diff_id, limits, zstd="zstd" in layer.media_type)
        write_atomic(place / "index" / identity, msgspec.msgpack.encode(index))
        final = place / "layers" / identity
        if final.exists():
            remove_tree(final)
        temporary.rename(final)
        forget()
    except SeatrialError as error:
        error.where = error.where or f"layer {diff_id}"
        raise
    except OSError as error:
        raise SeatrialError(
            f"cannot unpack a layer: {error.strerror or error}",
            where=str(place),
            fix="free space there" if error.errno == errno.ENOSPC else "check the folder and its permissions",
        ) from error
    finally:
        with suppress(OSError):
            remove_tree(temporary)


def unpack_stream(
    blob: Path, folder: Path, diff_id: str, limits: Limits, *, zstd: bool = False
) -> LayerIndex:
    """Unpack one layer blob (tar, or tar in any number of gzip members) into the empty `folder`."""
    if zstd:
        raise SeatrialError(
            "the layer is compressed with zstd, which is not supported", fix="push it with gzip"
        )
    with opened(blob) as stream:
        source = Verified(stream, blob.stat().st_size, limits)
        index = write_layer(folder, tar.TarStream(source), diff_id, limits)
        source.drain()
        if source.digest() != diff_id:
            raise SeatrialError(
                "the layer's content is not what the image's configuration says",
                why=f"its digest is {source.digest()}, not {diff_id}",
                fix="pull or assemble the image again",
            )
    return index


@contextmanager
def opened(blob: Path) -> Iterator[IO[bytes]]:
    """Read a layer blob uncompressed, whether it is packed or not.

    Raises:
        SeatrialError: the file is missing or damaged.
    """
    from isal import igzip, isal_zlib

    broken: Any = isal_zlib.error
    gzip_file: Any = igzip.IGzipFile
    try:
        with blob.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                yield raw
                return
            with gzip_file(fileobj=raw, mode="rb") as stream:
                yield stream
    except FileNotFoundError as error:
        raise SeatrialError(
            "a layer is missing", where=str(blob), fix="pull or assemble the image again"
        ) from error
    except (EOFError, broken, igzip.BadGzipFile) as error:
        raise tar.damaged(str(error)) from error


class Verified:
    """The uncompressed stream: hashed, counted and bounded as it passes."""

    def __init__(self, stream: IO[bytes], packed: int, limits: Limits) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._count = 0
        self._limit = min(limits.total_bytes, max(limits.free_bytes, packed * limits.ratio))
        self._buffer = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        if self._at == len(self._buffer):
            self._fill()
        piece = self._buffer[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _fill(self) -> None:
        self._buffer, self._at = self._stream.read(1 << 18), 0
        self._hash.update(self._buffer)
        self._count += len(self._buffer)
        if self._count > self._limit:
            raise SeatrialError(
                f"the layer unpacks to more than {self._limit} bytes",
                why="it looks like a decompression bomb",
                fix="use an image from a source that you trust",
            )

    def drain(self) -> None:
        """Read what follows the end mark: it counts for the digest."""
        self._fill()
        while self._buffer:
            self._fill()

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
