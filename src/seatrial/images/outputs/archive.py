"""One tar that is an OCI layout and what `docker save` writes at once, so that every engine reads it.

Engines of today take `index.json`, older ones `manifest.json`; both name the same blobs, which go in as they
are: nothing is unpacked, and no copy is made beside the archive. The same image gives the same bytes.
Source: OCI image-spec v1.1, image-layout.md; moby, image/spec/v1.2.md ("Combined Image JSON + Filesystem
Changeset Format") and image/tarexport/load.go, which unpacks compressed layers itself.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer
from seatrial.images import layout as oci
from seatrial.images.assemble import tar
from seatrial.images.outputs.names import index_notes
from seatrial.images.target import this_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.images.outputs.names import Name

_CHUNK = 1 << 20


def save(layout: Path, path: Path, names: Sequence[Name]) -> int:
    """Write the archive to `path` and return its size in bytes; a former one is replaced when it is whole.

    A pipe or device is written to as it is.

    Raises:
        SeatrialError: the place cannot be written, or the layout is damaged.
    """
    with _opened(path) as out:
        return write(layout, out, names)


def write(layout: Path, out: IO[bytes], names: Sequence[Name]) -> int:
    """Write what `layout` holds as an archive to `out`, and return the bytes written.

    Every name is given to the image. Of several platforms, engines that read `manifest.json` get that of this
    machine, or else the first.

    Raises:
        SeatrialError: the layout holds no image, or a blob is damaged.
    """
    top = oci.read_index(layout).manifests
    if len(top) != 1:
        raise SeatrialError(f"the layout holds {len(top)} images", where=str(layout))
    images = [oci.read_image(layout, digest=d.digest) for d in oci.list_images(layout)]
    documents = {
        "manifest.json": oci.encode([_engine_entry(_chosen(images), names)]),
        "index.json": oci.encode(oci.Index(manifests=_named(top[0], names))),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }
    size = 0
    for name, content in documents.items():
        size += _put(out, tar.header(name, size=len(content)), content, tar.padding(len(content)))
    for folder in ("blobs", "blobs/sha256"):
        size += _put(out, tar.header(folder, kind=tar.DIRECTORY, mode=0o755))
    for blob in _blobs(top[0], images):
        size += _put(out, tar.header(_place(blob), size=blob.size))
        size += _copy(oci.blob_path(layout, blob.digest), out, blob) + _put(out, tar.padding(blob.size))
    return size + _put(out, bytes(2 * tar.BLOCK))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        special = not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        special = False
    if special:
        with path.open("wb") as out:
            yield out
    else:
        with atomic_writer(path) as out:
            yield out


def _chosen(images: Sequence[oci.Image]) -> oci.Image:
    here = this_platform()
    return next((i for i in images if i.descriptor.platform and oci.fits(i.descriptor, here)), images[0])


def _engine_entry(image: oci.Image, names: Sequence[Name]) -> dict[str, Any]:
    return {
        "Config": _place(image.manifest.config),
        "RepoTags": [name.familiar for name in names] or None,
        "Layers": [_place(layer) for layer in image.manifest.layers],
    }


def _named(top: oci.Descriptor, names: Sequence[Name]) -> tuple[oci.Descriptor, ...]:
    """One entry for each name: an entry has room for one."""
    plain = oci.Descriptor(top.media_type, top.digest, top.size, platform=top.platform)
    named = tuple(
        oci.Descriptor(
            top.media_type, top.digest, top.size, platform=top.platform, annotations=index_notes(name)
        )
        for name in names
    )
    return named or (plain,)


def _blobs(top: oci.Descriptor, images: Sequence[oci.Image]) -> list[oci.Descriptor]:
    """Small documents first, so that a reader knows what follows; each blob once."""
    found = [top, *(image.descriptor for image in images), *(image.manifest.config for image in images)]
    found += [layer for image in images for layer in image.manifest.layers]
    return list({blob.digest: blob for blob in found}.values())


def _place(blob: oci.Descriptor) -> str:
    return f"blobs/sha256/{oci.check_digest(blob.digest).removeprefix('sha256:')}"


def _put(out: IO[bytes], *pieces: bytes) -> int:
    for piece in pieces:
        out.write(piece)
    return sum(len(piece) for piece in pieces)


def _copy(path: Path, out: IO[bytes], blob: oci.Descriptor) -> int:
    """The content of a blob; a blob of another size would shift everything behind it."""
    try:
        with path.open("rb") as stream:
            left = blob.size
            while left and (chunk := stream.read(min(_CHUNK, left))):
                out.write(chunk)
                left -= len(chunk)
            whole = not left and not stream.read(1)
    except FileNotFoundError:
        whole = False
    if not whole:
        raise SeatrialError(
            f"blob {blob.digest} is missing or damaged",
            where=str(path.parents[2]),
            fix="assemble the image again",
        )
    return blob.size
