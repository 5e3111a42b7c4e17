"""Read an image from one tar file, as engines write it, into a layout.

Two forms, told apart by what is in them: an OCI layout (`index.json`; oci-archive, `docker save` since 25) and the
older form with `manifest.json` (docker-archive, `podman save`). Members are stored under the digests of what they
hold, never under their names. Source: OCI image-spec v1.1, image-layout.md; moby, image/spec/v1.2.md.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import tarfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYER_PLAIN = "application/vnd.oci.image.layer.v1.tar"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_CHUNK = 1 << 20
_MOST_MEMBERS = 100_000
_LARGEST_DOCUMENT = 16 << 20
_MOST_LINKS = 10


class _Stored(NamedTuple):
    digest: str
    size: int
    start: bytes


class _Saved(msgspec.Struct, rename="pascal"):
    """An image in `manifest.json`."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


def read_archive(stream: IO[bytes], layout: Path, *, called: str = "", where: str = "") -> None:
    """Make a layout of the image in the (uncompressed) tar; `called` is its name, for archives of several.

    Raises:
        SeatrialError: it is no archive of an image, is damaged, or has no such image or several.
    """
    oci.create(layout)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            members, links = _store(archive, layout)
        names = _Names(layout, members, links)
        index = _index(names, called) if names.find("index.json") else _saved(names, called)
    except (tarfile.TarError, EOFError, msgspec.MsgspecError, RecursionError) as error:
        raise SeatrialError(
            f"this is no archive of an image: {error}", where=where, fix="make it again, with `docker save`"
        ) from error
    except SeatrialError as error:
        error.where = error.where or where
        raise
    oci.set_index(layout, index)


class _Names:
    """What the archive called what is in the layout."""

    def __init__(self, layout: Path, members: dict[str, _Stored], links: dict[str, str]) -> None:
        self._layout, self._members, self._links = layout, members, links

    def find(self, name: str) -> _Stored | None:
        for _ in range(_MOST_LINKS):
            found = self._members.get(posixpath.normpath(name))
            if found is not None:
                return found
            if posixpath.normpath(name) not in self._links:
                return None
            name = self._links[posixpath.normpath(name)]
        return None

    def need(self, name: str) -> _Stored:
        found = self.find(name)
        if found is None:
            raise SeatrialError(f"the archive lacks {name[:200]!r}", fix="make it again, with `docker save`")
        return found

    def put(self, manifest: oci.Manifest, platform: oci.Platform) -> oci.Descriptor:
        return oci.add_blob(self._layout, oci.encode(manifest), oci.MANIFEST, platform=platform)

    def document(self, name: str, kind: Any) -> Any:
        stored = self.need(name)
        if stored.size > _LARGEST_DOCUMENT:
            raise SeatrialError(f"{name} has more than {_LARGEST_DOCUMENT} bytes")
        return msgspec.json.decode(oci.blob_path(self._layout, stored.digest).read_bytes(), type=kind)


def _store(archive: tarfile.TarFile, layout: Path) -> tuple[dict[str, _Stored], dict[str, str]]:
    members: dict[str, _Stored] = {}
    links: dict[str, str] = {}
    for number, member in enumerate(archive):
        if number >= _MOST_MEMBERS:
            raise SeatrialError(f"the archive has more than {_MOST_MEMBERS} members")
        name = posixpath.normpath(member.name)
        if member.issym():
            links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
        elif member.islnk():
            links[name] = member.linkname
        elif member.isfile():
            content = archive.extractfile(member)
            assert content is not None  # noqa: S101 - it is a file
            members[name] = _kept(content, layout)
    return members, links


def _kept(content: IO[bytes], layout: Path) -> _Stored:
    """Store a member by the digest of its content."""
    temporary = layout / "blobs" / "sha256" / f".{secrets.token_hex(8)}.tmp"
    hashed, size, start = hashlib.sha256(), 0, b""
    try:
        with temporary.open("wb") as out:
            while piece := content.read(_CHUNK):
                start = start or piece[:4]
                hashed.update(piece)
                size += len(piece)
                out.write(piece)
        digest = f"sha256:{hashed.hexdigest()}"
        temporary.replace(oci.blob_path(layout, digest))
    except OSError as error:
        raise SeatrialError(
            f"cannot write what the archive holds: {error.strerror or error}", where=str(layout),
            fix="free space there, or set SEATRIAL_CACHE to a folder with more",
        ) from error  # fmt: skip
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - it may be gone
    return _Stored(digest, size, start)


def _index(names: _Names, called: str) -> oci.Index:
    """The part of the archive's own index that is meant."""
    index: oci.Index = names.document("index.json", oci.Index)
    several = {d.digest for d in index.manifests}
    if not called and len(several) == 1:
        return oci.Index(manifests=index.manifests[:1])
    found = [d for d in index.manifests if any(_same(called, d.annotations.get(n, "")) for n in _NAMES)]
    if len({d.digest for d in found}) != 1:
        raise _which(
            called, sorted({d.annotations[n] for d in index.manifests for n in _NAMES if n in d.annotations})
        )
    return oci.Index(manifests=tuple(found[:1]))


def _saved(names: _Names, called: str) -> oci.Index:
    """An index with the image of `manifest.json` that is meant; its manifest is made here."""
    saved: list[_Saved] = names.document("manifest.json", list[_Saved])
    found = [one for one in saved if not called or any(_same(called, tag) for tag in one.repo_tags or [])]
    if len(found) != 1:
        raise _which(called, sorted(tag for one in saved for tag in one.repo_tags or []))
    config = names.need(found[0].config)
    layers = tuple(
        oci.Descriptor(_kind(layer.start), layer.digest, layer.size)
        for layer in map(names.need, found[0].layers)
    )
    manifest = oci.Manifest(config=oci.Descriptor(oci.CONFIG, config.digest, config.size), layers=layers)
    about = names.document(found[0].config, dict[str, Any])
    platform = oci.Platform(str(about.get("architecture", "")), str(about.get("os", "linux")))
    return oci.Index(manifests=(names.put(manifest, platform),))


def _kind(start: bytes) -> str:
    from seatrial.images.runtimes import zstd

    if start.startswith(b"\x1f\x8b"):
        return oci.LAYER_GZIP
    return LAYER_ZSTD if zstd.begins(start) else LAYER_PLAIN


def _same(called: str, name: str) -> bool:
    """Whether a name of the archive is the one that is meant, in any of its spellings."""
    return bool(called) and any(one == other for one in _spelt(called) for other in _spelt(name))


def _spelt(name: str) -> Iterator[str]:
    from seatrial.errors import UsageError
    from seatrial.images.outputs.names import name_of

    yield name
    try:
        found = name_of(name)
    except UsageError:
        return
    yield from (found.full, found.local)


def _which(called: str, there: list[str]) -> SeatrialError:
    return SeatrialError(
        f"the archive has no image {called!r}" if called else "the archive holds several images",
        why=f"it holds {', '.join(there) or 'images without a name'}",
        fix="say which, as FILE:NAME[:TAG]",
    )
