"""Unpack a layer once into the layer store: safely, verified, and whole or not at all.

The store's folders are described in `rootfs`.
Files belong to whoever unpacks; set-user-id bits, device nodes, extended attributes and owners stay in the index.
Whiteouts become what overlay reads with `userxattr`: character device 0:0 (which needs no privilege since
Linux 5.8) and `user.overlay.opaque`. Source: Documentation/filesystems/overlayfs.rst; OCI image-spec layer.md.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import msgspec

from seatrial import locks
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree, write_atomic
from seatrial.images import layout as oci
from seatrial.images.rootfs import FORMAT, forget, layer_id, read_layer_index, store
from seatrial.images.runtimes import tar, zstd
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
        with verified(blob, layer, diff_id, limits) as stream:
            index = write_layer(temporary, stream, diff_id, limits)
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


@contextmanager
def verified(
    blob: Path,
    layer: oci.Descriptor,
    diff_id: str,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[tar.TarStream]:
    """The members of a layer (tar, or tar in any number of gzip members or zstd frames); check all of it at the end of the block.

    Raises:
        SeatrialError: it is missing, damaged, of a kind that is not read, grows beyond `limits`, or has another
            size, digest or content than manifest and configuration say.
    """
    try:
        _check_kind(layer)
        with opened(blob, layer) as stream:
            source = Verified(stream, layer.size, limits)
            yield tar.TarStream(source)
            source.drain()
            source.check(diff_id)
    except SeatrialError as error:
        error.where = error.where or f"layer {layer.digest}"
        raise


def _check_kind(layer: oci.Descriptor) -> None:
    kind = layer.media_type
    if "foreign" in kind or "nondistributable" in kind:
        raise SeatrialError(
            "the layer may not be distributed, so the image does not hold it", why=f"its type is {kind}",
            fix="use a base whose layers can be pulled from its registry",
        )  # fmt: skip
    if not kind.endswith((".tar", ".tar+gzip", ".tar.gzip", ".tar+zstd", ".tar.zstd")):
        raise SeatrialError(
            f"the layer has the type {kind}", why="plain, gzip and zstd layers are read",
            fix="choose another tag, or convert it with `skopeo copy --dest-compress-format gzip`",
        )  # fmt: skip


@contextmanager
def opened(blob: Path, layer: oci.Descriptor | None = None) -> Iterator[IO[bytes]]:
    """Read a layer blob uncompressed, whether it is packed or not; the size and digest of `layer` are compared.

    Raises:
        SeatrialError: the file is missing, damaged or another one.
        MissingToolError: it is packed with zstd, which nothing on this machine unpacks.
    """
    from isal import igzip, isal_zlib

    broken: Any = isal_zlib.error
    gzip_file: Any = igzip.IGzipFile
    try:
        with blob.open("rb", buffering=0) as file:
            counted = _Counted(file)
            raw = io.BufferedReader(counted, 1 << 20)
            start = raw.peek(4)[:4]
            if start[:2] == b"\x1f\x8b":
                with gzip_file(fileobj=raw, mode="rb") as stream:
                    yield stream
            elif zstd.begins(start):
                with zstd.opened(raw) as stream:
                    yield stream
            else:
                yield raw
            if layer is not None:
                counted.check(layer)
    except FileNotFoundError as error:
        raise SeatrialError(
            "a layer is missing", where=str(blob), fix="pull or assemble the image again"
        ) from error
    except (EOFError, broken, igzip.BadGzipFile) as error:
        raise tar.damaged(str(error)) from error


class _Counted(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: io.FileIO) -> None:
        self._file, self._hash, self._size = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size = self._file.readinto(buffer) or 0
        self._hash.update(memoryview(buffer)[:size])
        self._size += size
        return size

    def check(self, layer: oci.Descriptor) -> None:
        digest = f"sha256:{self._hash.hexdigest()}"
        if self._size != layer.size:
            raise tar.damaged(f"it has {self._size} bytes, the manifest says {layer.size}")
        if digest != layer.digest:
            raise tar.damaged(f"its content has the digest {digest}")


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

    def check(self, diff_id: str) -> None:
        """Raise unless everything that passed has that digest."""
        if self.digest() != diff_id:
            raise SeatrialError(
                "the layer's content is not what the image's configuration says",
                why=f"its digest is {self.digest()}, not {diff_id}",
                fix="pull or assemble the image again",
            )
