"""Writing an ordinary layer again as eStargz: the same entries with the same headers, in the same order."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.assemble import tar as ours
from seatrial.images.lazy.spool import clean
from seatrial.images.lazy.toc import OWN_NAMES, Row, moment
from seatrial.images.runtimes import tar
from seatrial.images.runtimes.writing import Limits
from seatrial.images.unpack import Verified, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.images.layout import Descriptor
    from seatrial.images.lazy.toc import Kind
    from seatrial.images.lazy.writer import LazyWriter

_KINDS: dict[str, Kind] = {
    tar.REGULAR: "reg",
    tar.HARD_LINK: "hardlink",
    tar.SYMLINK: "symlink",
    tar.CHARACTER: "char",
    tar.BLOCK_DEVICE: "block",
    tar.FOLDER: "dir",
    tar.FIFO: "fifo",
}
_DEVICES = (tar.CHARACTER, tar.BLOCK_DEVICE)
_MOST_HEADERS = 8 << 20
_XATTR = "SCHILY.xattr."


def convert(writer: LazyWriter, blob: Path, layer: Descriptor, diff_id: str) -> None:
    """Write the entries of the layer in `blob`, which is compared with what the manifest and configuration say.

    Raises:
        SeatrialError: the layer is damaged or another one, or has an entry that such a layer cannot hold.
        MissingToolError: it is packed with zstd, which nothing on this machine unpacks.
    """
    try:
        _convert(writer, blob, layer, diff_id)
    except SeatrialError as error:
        error.where = error.where or f"layer {layer.digest}"
        raise


def _convert(writer: LazyWriter, blob: Path, layer: Descriptor, diff_id: str) -> None:
    with opened(blob, layer) as stream:
        source = Verified(stream, layer.size, Limits())
        passing = _Passing(source)
        entries = tar.TarStream(passing)
        padding = 0
        for member in entries.members():
            header = passing.taken()[padding:]
            padding = -member.size % ours.BLOCK if member.kind == tar.REGULAR else 0
            if clean(member.name) in OWN_NAMES:  # it was such a layer before
                for _ in entries.content():
                    passing.taken()
                continue
            writer.add_row(_row(member, header), header, _content(entries, passing))
        source.drain()
        source.check(diff_id)


class _Passing:
    """Keeps what is read of the source until it is taken: the headers, as they are."""

    def __init__(self, source: tar.Source) -> None:
        self._source = source
        self._kept: list[bytes] = []
        self._size = 0

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._kept.append(piece)
        self._size += len(piece)
        if self._size > _MOST_HEADERS:
            raise tar.damaged(f"more than {_MOST_HEADERS} bytes of headers before a file")
        return piece

    def taken(self) -> bytes:
        kept, self._kept, self._size = self._kept, [], 0
        return b"".join(kept)


def _content(entries: tar.TarStream, passing: _Passing) -> Iterator[bytes]:
    for piece in entries.content():
        passing.taken()
        yield piece


def _row(member: tar.Member, header: bytes) -> Row:
    kind = _KINDS.get(member.kind)
    if kind is None:
        raise tar.damaged(f"{member.name[:200]} is of a kind that is not known")
    major, minor, xattrs = 0, 0, dict[str, bytes]()
    if len(header) > ours.BLOCK or member.kind in _DEVICES:
        major, minor, xattrs = _extended(header)
    return Row(
        name=member.name.rstrip("/") + "/" if kind == "dir" else member.name,
        type=kind,
        size=member.size if kind == "reg" else 0,
        modtime=moment(member.mtime),
        link=member.link if kind in ("hardlink", "symlink") else "",
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        major=major,
        minor=minor,
        xattrs=xattrs,
    )


def _extended(header: bytes) -> tuple[int, int, dict[str, bytes]]:
    """Device numbers and extended attributes."""
    with tarfile.open(fileobj=io.BytesIO(header + bytes(2 * ours.BLOCK)), mode="r:") as archive:
        entry = archive.next()
        assert entry is not None  # noqa: S101 - its checksum was compared before
        attributes = {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in sorted(entry.pax_headers.items())
            if key.startswith(_XATTR)
        }
        return entry.devmajor, entry.devminor, attributes
