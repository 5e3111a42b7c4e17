"""The table of contents of an eStargz layer: where each file's bytes are in the compressed blob, and their digests.

A reader fetches the footer, then the table, then the pieces of the files that a program opens.
Source: the eStargz specification, https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.images.assemble import tar
from seatrial.images.assemble.packing import gzip_trailer

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "stargz.index.json"
PREFETCH, NO_PREFETCH = ".prefetch.landmark", ".no.prefetch.landmark"
"""Files that end the part which is fetched at once, or say that there is none."""
OWN_NAMES = frozenset((NAME, PREFETCH, NO_PREFETCH))
LANDMARK = b"\x0f"
DIGEST = "containerd.io/snapshot/stargz/toc.digest"
PLAIN_SIZE = "io.containers.estargz.uncompressed-size"
ANNOTATIONS = (DIGEST, PLAIN_SIZE)
"""What a manifest says of such a layer: without the first nobody trusts the table, so the layer is pulled whole."""

CHUNK = 4 << 20
"""Bytes of a large file that are packed and fetched together."""

Kind = Literal["dir", "reg", "symlink", "hardlink", "char", "block", "fifo", "chunk"]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. Of a large file the first row is `reg`, those of its further chunks are `chunk`.

    `offset` is where the gzip member of the content starts, `chunk_offset` where the content is in the file; a
    `chunk_size` of 0 means "to its end". Sizes and offsets are in bytes.
    """

    name: str
    type: Kind
    size: int = 0
    modtime: str = ""
    link: str = msgspec.field(default="", name="linkName")
    mode: int = 0
    uid: int = 0
    gid: int = 0
    offset: int = 0
    major: int = msgspec.field(default=0, name="devMajor")
    minor: int = msgspec.field(default=0, name="devMinor")
    xattrs: dict[str, bytes] = {}
    digest: str = ""
    chunk_offset: int = msgspec.field(default=0, name="chunkOffset")
    chunk_size: int = msgspec.field(default=0, name="chunkSize")
    chunk_digest: str = msgspec.field(default="", name="chunkDigest")


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """All rows, in the order of the layer."""

    version: int = 1
    entries: Sequence[Row]


class Written(NamedTuple):
    """The end of a layer: the last tar entry with the end marks, and the digest of the table in it."""

    plain: bytes
    digest: str


def table(rows: Sequence[Row]) -> Written:
    """The table as the layer's last file; the digest is that of its JSON."""
    content = msgspec.json.encode(Table(entries=rows))
    entry = tar.header(NAME, size=len(content)) + content + tar.padding(len(content)) + bytes(2 * tar.BLOCK)
    return Written(entry, f"sha256:{hashlib.sha256(content).hexdigest()}")


def footer(offset: int) -> bytes:
    """The last 51 bytes of a layer: an empty gzip member that says where the table's member starts."""
    place = b"%016xSTARGZ" % offset
    extra = struct.pack("<2sH", b"SG", len(place)) + place
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(extra)) + extra
    return head + b"\x01\0\0\xff\xff" + gzip_trailer(0, 0)


def moment(mtime: float) -> str:
    """A time of a tar as the table says it, to the second; empty for the epoch."""
    seconds = round(mtime)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
