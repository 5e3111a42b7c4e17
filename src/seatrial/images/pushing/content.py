"""What of an OCI layout is pushed: its blobs, its manifests, and which of them goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as layouts

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.layout import Descriptor

_INDEXES = (layouts.INDEX, layouts.DOCKER_INDEX)


class Content(NamedTuple):
    """`root` is what a tag names. `levels` are all manifests: those of a level need the levels before it.

    `blobs` are configs and layers, each once, the largest first so that the last one is not alone at the end.
    """

    layout: Path
    root: Descriptor
    levels: tuple[tuple[Descriptor, ...], ...]
    blobs: tuple[Descriptor, ...]

    @property
    def digests(self) -> list[str]:
        """Of the blobs."""
        return [blob.digest for blob in self.blobs]

    def bytes(self, descriptor: Descriptor) -> bytes:
        """A manifest as it is in the layout.

        Raises:
            SeatrialError: it is not there, or has another digest.
        """
        layouts.read_json(self.layout, descriptor.digest, msgspec.Raw)  # compares the digest
        return layouts.blob_path(self.layout, descriptor.digest).read_bytes()


def read_content(layout: Path, platform: str | None = None) -> Content:
    """Everything that the only image of the layout needs, or its image for `platform`.

    Raises:
        SeatrialError: the layout is damaged, or holds several images.
    """
    root = _root(layout, platform)
    levels: list[tuple[Descriptor, ...]] = [(root,)]
    while True:
        below = [entry for top in levels[0] for entry in _below(layout, top)]
        if not below:
            break
        levels.insert(0, tuple({entry.digest: entry for entry in below}.values()))
    blobs: dict[str, Descriptor] = {}
    for image in (image for level in levels for image in level):
        if image.media_type not in _INDEXES:
            manifest = layouts.read_json(layout, image.digest, layouts.Manifest)
            blobs |= {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    ordered = sorted(blobs.values(), key=lambda blob: (-blob.size, blob.digest))
    return Content(layout, root, tuple(levels), tuple(ordered))


def _root(layout: Path, platform: str | None) -> Descriptor:
    if platform:
        return layouts.read_image(layout, platform=platform).descriptor
    top = layouts.read_index(layout).manifests
    if len(top) == 1:
        return top[0]
    named = ", ".join(str(entry.platform) for entry in top if entry.platform)
    raise SeatrialError(
        f"the layout holds {len(top)} images" if top else "the layout holds no image",
        where=str(layout / "index.json"),
        why=f"platforms: {named}" if named else None,
        fix="choose one with --platform"
        if top
        else "assemble one with `seatrial image assemble --oci FOLDER`",
    )


def _below(layout: Path, descriptor: Descriptor) -> list[Descriptor]:
    if descriptor.media_type not in _INDEXES:
        return []
    return list(layouts.read_json(layout, descriptor.digest, layouts.Index).manifests)
