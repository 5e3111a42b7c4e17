"""A base whose layers can be pulled lazily: they are written again, once, and kept in the cache."""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, Any

import msgspec

from seatrial.images import layout as oci
from seatrial.images.assemble.install import Installed
from seatrial.images.assemble.store import publish, scratch, stored_layer
from seatrial.images.lazy.convert import convert
from seatrial.images.lazy.toc import DIGEST
from seatrial.images.lazy.writer import FORMAT, LazyWriter, NotLazyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.images.assemble.layer import WrittenLayer
    from seatrial.images.assemble.store import StoredLayer, Use
    from seatrial.images.bases import Base


def lazy_base(
    base: Base,
    use: Use,
    first: Sequence[str] = (),
    *,
    threads: int | None = None,
    point: Callable[[str], None] = lambda _name: None,
) -> Base:
    """The base with layers whose files are fetched one by one; those of `first` come first.

    Layers that are such already stay as they are, and those that cannot be, with a note.

    Raises:
        SeatrialError: a layer of the base is damaged.
        MissingToolError: a layer is packed with zstd, which nothing on this machine unpacks.
    """
    image = oci.read_image(base.layout, digest=base.digest)
    if all(DIGEST in layer.annotations for layer in image.manifest.layers):
        return base
    key = _key(base.digest, sorted(set(first)))
    entry = use.hold("bases", f"lazy-{key}")
    made_now = False
    if not (entry / "index.json").exists():
        with scratch() as folder:
            _write(folder / "layout", image, base.layout, use, frozenset(first), threads)
            made_now = publish(folder / "layout", entry)
        point("base/lazy")
    found = oci.read_image(entry)
    ordinary = [layer.digest for layer in found.manifest.layers if DIGEST not in layer.annotations]
    note = f"{len(ordinary)} of the base's layers cannot be pulled lazily: a name in them is not UTF-8"
    return msgspec.structs.replace(
        base,
        layout=entry,
        digest=found.digest,
        origin=base.origin or base.digest,
        made_now=base.made_now or made_now,
        notes=(*base.notes, *([note] if ordinary else [])),
    )


def _write(
    layout: Path, image: oci.Image, source: Path, use: Use, first: frozenset[str], threads: int | None
) -> None:
    """The image with every layer written again; its configuration differs in what the layers are called alone."""
    oci.create(layout)
    layers, diff_ids = list(image.manifest.layers), oci.diff_ids(image)
    for number, layer in enumerate(layers):
        blob = oci.blob_path(source, layer.digest)
        made = (
            None
            if DIGEST in layer.annotations
            else _layer(blob, layer, diff_ids[number], use, first, threads)
        )
        if made is None:
            oci.link_blob(layout, layer.digest, blob)
            continue
        oci.link_blob(layout, made.digest, made.blob)
        layers[number] = oci.Descriptor(oci.LAYER_GZIP, made.digest, made.size, made.annotations)
        diff_ids[number] = made.diff_id
    config: dict[str, Any] = {**image.config, "rootfs": {**image.config["rootfs"], "diff_ids": diff_ids}}
    manifest = oci.Manifest(
        config=oci.add_blob(layout, oci.encode(config), oci.CONFIG),
        layers=tuple(layers),
        annotations=image.manifest.annotations,
    )
    top = oci.add_blob(layout, oci.encode(manifest), oci.MANIFEST, platform=image.descriptor.platform)
    oci.set_index(layout, oci.Index(manifests=(top,)))


def _layer(
    blob: Path,
    layer: oci.Descriptor,
    diff_id: str,
    use: Use,
    first: frozenset[str],
    threads: int | None,
) -> StoredLayer | None:
    """The layer as eStargz, from the cache or made now; None when it holds a name that the table cannot."""

    def write(out: IO[bytes]) -> tuple[WrittenLayer, Installed]:
        with LazyWriter(out, first=first, threads=threads) as writer:
            convert(writer, blob, layer, diff_id)
            return writer.finish(), Installed({})

    try:
        return stored_layer(use, _key(diff_id, sorted(first)), write)
    except NotLazyError:
        return None


def _key(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(["lazy base", FORMAT, *parts])).hexdigest()
