"""Bringing rebased images where they are wanted: into a layout, or into a registry that has most of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import scratch
from seatrial.images.outputs.layout import Made, check_output, describe, locked_output
from seatrial.images.rebase.base import DIGEST, NAME
from seatrial.images.reference import parse
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.rebase.plan import Piece, Plan
    from seatrial.images.rebase.source import Blobs, Opened
    from seatrial.images.registry import Pushed


class Document(NamedTuple):
    """A manifest and its configuration as they will be stored."""

    config: bytes
    manifest: bytes
    descriptor: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]


class Result(NamedTuple):
    """Everything that is small: `top` is what names the images; `listed` the index when there are several."""

    top: oci.Descriptor
    listed: bytes | None
    documents: tuple[Document, ...]


def compose(plans: Sequence[Plan], opened: Opened) -> Result:
    """The manifests of the rebased images; an image that has nothing to do stays as it is."""
    documents = tuple(_document(plan, opened.blobs) for plan in plans)
    if opened.listed is None:
        return Result(documents[0].descriptor, None, documents)
    entries = tuple(
        _entry(plan.image.descriptor, d.descriptor) for plan, d in zip(plans, documents, strict=True)
    )
    notes = {k: v for k, v in opened.listed.annotations.items() if k not in (NAME, DIGEST)}
    index = oci.encode(oci.Index(manifests=entries, annotations=notes))
    return Result(_described(index, oci.INDEX), index, documents)


def _document(plan: Plan, blobs: Blobs) -> Document:
    image = plan.image
    if plan.config is None:
        config, manifest = (
            oci.blob_path(blobs.layout, digest).read_bytes()
            for digest in (image.manifest.config.digest, image.digest)
        )
        return Document(config, manifest, image.descriptor, image.manifest.layers)
    layers = tuple(msgspec.structs.replace(p.descriptor, media_type=_kind(p)) for p in plan.pieces)
    stand_in = oci.Image(image.descriptor, oci.Manifest(config=image.manifest.config, layers=layers), {})
    made = describe(Made(blobs.layout, stand_in, (), plan.config))
    manifest = made.manifest
    if plan.annotations:
        manifest = oci.encode(msgspec.structs.replace(made.described, annotations=plan.annotations))
    top = _described(manifest, oci.MANIFEST, platform=made.top.platform)
    return Document(made.config, manifest, top, made.described.layers)


def _kind(piece: Piece) -> str:
    plain = piece.descriptor.media_type == "application/vnd.docker.image.rootfs.diff.tar"
    return oci.LAYER_GZIP.removesuffix("+gzip") if plain else piece.descriptor.media_type


def _entry(before: oci.Descriptor, now: oci.Descriptor) -> oci.Descriptor:
    notes = {k: v for k, v in before.annotations.items() if k not in (NAME, DIGEST)}
    return msgspec.structs.replace(now, platform=before.platform or now.platform, annotations=notes)


def _described(content: bytes, media_type: str, *, platform: oci.Platform | None = None) -> oci.Descriptor:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return oci.Descriptor(media_type, digest, len(content), platform=platform)


def to_layout(out: Path, result: Result, plans: Sequence[Plan], opened: Opened) -> None:
    """Make `out` hold the images and nothing else; every layer is there afterwards.

    Raises:
        SeatrialError: `out` is something else, or a layer cannot be had.
    """
    places = {str(p.place.parents[2]) for plan in plans for p in plan.pieces if p.place is not None}
    check_output(out, sorted(places))
    with locked_output(out):
        _put(out, result, plans, opened, complete=True)
        needed = _needed(result)
        for blob in (out / "blobs" / "sha256").iterdir():
            if f"sha256:{blob.name}" not in needed:
                blob.unlink(missing_ok=True)


def _needed(result: Result) -> set[str]:
    found = {result.top.digest}
    for document in result.documents:
        config = _described(document.config, oci.CONFIG).digest
        found |= {document.descriptor.digest, config, *(layer.digest for layer in document.layers)}
    return found


def _put(out: Path, result: Result, plans: Sequence[Plan], opened: Opened, *, complete: bool) -> None:
    """Blobs first, the index last. Without `complete`, layers that are only in the registry stay there."""
    oci.create(out)
    for plan, document in zip(plans, result.documents, strict=True):
        places = {p.descriptor.digest: p.place for p in plan.pieces if p.place is not None}
        for layer in document.layers:
            if layer.digest in places:
                oci.link_blob(out, layer.digest, places[layer.digest])
            elif complete or opened.blobs.here(layer):
                oci.link_blob(out, layer.digest, opened.blobs.path(layer))
        oci.add_blob(out, document.config, oci.CONFIG)
        oci.add_blob(out, document.manifest, oci.MANIFEST)
    if result.listed is not None:
        oci.add_blob(out, result.listed, oci.INDEX)
    oci.set_index(out, oci.Index(manifests=(result.top,)))


def to_registry(tag: str, result: Result, plans: Sequence[Plan], opened: Opened, *, insecure: bool) -> Pushed:
    """Push, without fetching layers that the registry has already or can mount from a neighbour.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: a layer cannot be had.
    """
    from seatrial.images.registry import push

    neighbours = _neighbours(tag, plans, opened)
    with scratch() as folder:
        _put(folder, result, plans, opened, complete=False)
        absent = _absent(folder, result)
        if absent and not neighbours:
            absent = _bring(folder, _unknown(tag, absent, insecure=insecure), opened)
        try:
            pushed = push(folder, tag, insecure=insecure, mount_from=neighbours)
        except TransportError:
            raise
        except SeatrialError:
            if not absent:
                raise
            # The registry does not mount: the layers have to pass through this machine after all.
            _bring(folder, _unknown(tag, absent, insecure=insecure), opened)
            pushed = push(folder, tag, insecure=insecure, mount_from=neighbours)
    if pushed.digest != result.top.digest:
        raise SeatrialError(
            f"the registry has {pushed.digest}, not {result.top.digest}", where=tag, fix="push again"
        )
    return pushed


def _neighbours(tag: str, plans: Sequence[Plan], opened: Opened) -> list[str]:
    """Repositories of the same registry that have layers of the result."""
    target, found = parse(tag), []
    if opened.reference is not None and opened.reference.registry == target.registry:
        found.append(opened.reference.repository)
    for plan in plans:
        name = plan.answer.onto.name if plan.answer.onto else ""
        if name and not name.startswith((".", "/", "~")) and "/" in name:
            base = parse(name)
            if base.registry == target.registry:
                found.append(base.repository)
    return [name for name in dict.fromkeys(found) if name != target.repository]


def _absent(folder: Path, result: Result) -> list[oci.Descriptor]:
    layers = {layer.digest: layer for document in result.documents for layer in document.layers}
    return [layer for layer in layers.values() if not oci.blob_path(folder, layer.digest).exists()]


def _unknown(tag: str, layers: list[oci.Descriptor], *, insecure: bool) -> list[oci.Descriptor]:
    """Those that the target repository does not have yet."""
    from seatrial.images.registry_session import PUSH, authenticate, open_session
    from seatrial.images.registry_upload import present

    with open_session(parse(tag), insecure=insecure) as session:
        authenticate(session, PUSH)
        return [layer for layer in layers if not present(session, layer)]


def _bring(folder: Path, layers: list[oci.Descriptor], opened: Opened) -> list[oci.Descriptor]:
    """Fetch layers into the folder that is pushed; none is absent then."""
    for layer in layers:
        oci.link_blob(folder, layer.digest, opened.blobs.path(layer))
    return []
