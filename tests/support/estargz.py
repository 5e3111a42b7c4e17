"""A reader of eStargz layers that knows the specification and nothing of our code: byte ranges, gzip, tar, JSON."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[[int, int], bytes]

FOOTER = 51


class Opened(NamedTuple):
    """A layer of which footer and table were fetched; `digest` is that of the table."""

    fetch: Fetch
    rows: list[dict[str, Any]]
    digest: str
    table: int

    def find(self, name: str) -> dict[str, Any]:
        return next(row for row in self.rows if row["name"] == name and row["type"] != "chunk")

    def chunks(self, name: str) -> list[dict[str, Any]]:
        """Rows with content of a file, each with its `length` in the file."""
        size = self.find(name).get("size", 0)
        found = [row for row in self.rows if row["name"] == name and "offset" in row]
        return [{**row, "length": row.get("chunkSize") or size - row.get("chunkOffset", 0)} for row in found]

    def read(self, name: str) -> bytes:
        """A file's content, from the ranges of its own chunks alone; every digest is compared."""
        parts = []
        for row in self.chunks(name):
            content = inflate(self.fetch(row["offset"], self.end(row) - row["offset"]), row["length"])
            assert sha256(content) == row["chunkDigest"], row
            parts.append(content)
        whole = b"".join(parts)
        assert sha256(whole) == self.find(name)["digest"], name
        return whole

    def end(self, row: dict[str, Any]) -> int:
        """Where the next content or the table starts."""
        return min([o for r in self.rows if (o := r.get("offset", 0)) > row["offset"]], default=self.table)

    def files(self) -> list[str]:
        return [row["name"] for row in self.rows if row["type"] == "reg"]


def opened(fetch: Fetch, size: int) -> Opened:
    """Fetch footer and table."""
    footer = fetch(size - FOOTER, FOOTER)
    assert footer[:4] == b"\x1f\x8b\x08\x04", "a gzip member with an extra field"
    assert footer[10:16] == b"\x1a\x00SG\x16\x00"
    assert footer[32:38] == b"STARGZ"
    assert gzip.decompress(footer) == b""
    table = int(footer[16:32], 16)
    raw = gzip.decompress(fetch(table, size - FOOTER - table))
    assert raw.endswith(bytes(1024)), "the archive ends with the table"
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        entry = archive.next()
        assert entry is not None
        assert entry.name == "stargz.index.json"
        stream = archive.extractfile(entry)
        assert stream is not None
        content = stream.read()
    found = json.loads(content)
    assert found["version"] == 1
    return Opened(fetch, found["entries"], sha256(content), table)


def of_bytes(blob: bytes) -> Opened:
    return opened(lambda offset, length: blob[offset : offset + length], len(blob))


def inflate(packed: bytes, size: int) -> bytes:
    """The content of the first gzip member, which is all of the chunk and nothing else."""
    member = zlib.decompressobj(31)
    content = member.decompress(packed)
    assert member.eof
    assert len(content) == size
    return content


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tree(blob: bytes) -> dict[str, tuple[Any, ...]]:
    """What unpacking a layer gives, as any other tool sees it, without the files of the format itself."""
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        return {name: fields for name, fields in _members(archive) if not _own(name)}


def order(blob: bytes) -> list[str]:
    """Names in the order of the archive."""
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        return archive.getnames()


def _own(name: str) -> bool:
    return name in ("stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark")


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for entry in archive:
        stream = archive.extractfile(entry) if entry.isreg() else None
        content = sha256(stream.read()) if stream else ""
        device = (entry.devmajor, entry.devminor) if entry.isdev() else ()
        notes = {k: v for k, v in entry.pax_headers.items() if k.startswith("SCHILY.xattr.")}
        yield entry.name, (
            entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.linkname, content, device, notes,
        )  # fmt: skip
