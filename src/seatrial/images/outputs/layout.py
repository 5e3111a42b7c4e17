"""The layout that an image is written to: blobs first, the index last and at once, what nobody needs gone."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.lazy.toc import ANNOTATIONS
from seatrial.images.outputs.names import index_notes
from seatrial.locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from seatrial.images.assemble.store import StoredLayer
    from seatrial.images.outputs.names import Name


class Made(NamedTuple):
    """One platform's image: the layout and the image it is based on, the layers on top, the configuration."""

    base_layout: Path
    base: oci.Image
    layers: Sequence[StoredLayer]
    config: dict[str, Any]


class Described(NamedTuple):
    """The bytes of an image's documents and their descriptors; nothing is written yet."""

    config: bytes
    manifest: bytes
    top: oci.Descriptor
    described: oci.Manifest


def describe(made: Made) -> Described:
    """Configuration and manifest of an image: the same image has the same bytes on every machine."""
    config = oci.encode(made.config)
    described = oci.Manifest(
        config=_descriptor(config, oci.CONFIG),
        layers=(
            *(oci.Descriptor(oci.LAYER_GZIP if "gzip" in d.media_type else d.media_type, d.digest, d.size,
                             {key: d.annotations[key] for key in ANNOTATIONS if key in d.annotations})
              for d in made.base.manifest.layers),
            *(oci.Descriptor(oci.LAYER_GZIP, layer.digest, layer.size, layer.annotations) for layer in made.layers),
        ),
    )  # fmt: skip
    manifest = oci.encode(described)
    platform = oci.Platform(architecture=made.config["architecture"], os=made.config["os"])
    return Described(config, manifest, _descriptor(manifest, oci.MANIFEST, platform), described)


def index_of(images: Sequence[Described]) -> tuple[oci.Descriptor, bytes]:
    """What names all images: the only one itself, else an image index, in the order of the platforms' names."""
    if len(images) == 1:
        return images[0].top, images[0].manifest
    content = oci.encode(oci.Index(manifests=tuple(sorted((i.top for i in images), key=_by_platform))))
    return _descriptor(content, oci.INDEX), content


def check_output(out: Path, bases: Sequence[str] = ()) -> None:
    """Raise unless `out` may be written: absent, empty, or a layout with one image or index; and none of `bases`.

    Raises:
        SeatrialError: it holds something else.
    """
    if any(out.exists() and place.is_dir() and out.samefile(place) for place in map(out.__class__, bases)):
        raise SeatrialError(
            "the image would replace its own base", where=str(out), fix="give another folder to --oci"
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / "oci-layout").exists():
        raise SeatrialError(
            "this is not an empty folder", where=str(out), fix="give a folder that does not exist yet"
        )
    if (out / "index.json").exists() and len(oci.read_index(out).manifests) > 1:
        raise SeatrialError("this layout holds several images", where=str(out), fix="give another folder")


@contextmanager
def locked_output(out: Path) -> Iterator[None]:
    """Keep others from writing `out` for a block, so that what is pushed or loaded from it is what was made."""
    folder = paths.home() / "outputs"
    folder.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256(str(out.absolute().resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    with locked(folder / f"{key}.lock"):
        yield


def write(
    out: Path,
    made: Sequence[Made],
    *,
    names: Sequence[Name] = (),
    point: Callable[[str], None] = lambda _name: None,
) -> tuple[str, list[Described]]:
    """Make `out` hold these images and nothing else, and return the digest that names them all.

    Whoever looks sees the former images or the new ones, whenever this process is killed. The first of
    `names` is noted in the index. What only the former images needed goes at the end.
    """
    oci.create(out)
    described = [describe(one) for one in made]
    for one in made:
        for layer in one.base.manifest.layers:
            oci.link_blob(out, layer.digest, oci.blob_path(one.base_layout, layer.digest))
        for stored in one.layers:
            oci.link_blob(out, stored.digest, stored.blob)
    top, content = index_of(described)
    needed = {top.digest: content}
    needed |= {d.top.digest: d.manifest for d in described}
    needed |= {d.described.config.digest: d.config for d in described}
    for document in needed.values():
        oci.add_blob(out, document, "")
    point("image/blobs-written")
    if names:
        top = oci.Descriptor(
            top.media_type, top.digest, top.size, platform=top.platform, annotations=index_notes(names[0])
        )
    oci.set_index(out, oci.Index(manifests=(top,)))
    point("image/indexed")
    _clean(out, {*needed, *(layer.digest for d in described for layer in d.described.layers)})
    return top.digest, described


def _clean(out: Path, needed: set[str]) -> None:
    """Remove blobs that the former images alone needed, and what a killed process left half-written."""
    for blob in (out / "blobs" / "sha256").iterdir():
        if f"sha256:{blob.name}" not in needed:
            blob.unlink(missing_ok=True)
    for left in out.glob(".*.tmp"):
        left.unlink(missing_ok=True)


def _descriptor(content: bytes, media_type: str, platform: oci.Platform | None = None) -> oci.Descriptor:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return oci.Descriptor(media_type, digest, len(content), platform=platform)


def _by_platform(descriptor: oci.Descriptor) -> str:
    return str(descriptor.platform)
