"""Documents as OCI artifacts that refer to an image. Source: OCI image-spec v1.1, "manifest.md", `subject`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images import layout as oci
from seatrial.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.images.layout import Descriptor

EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
_LIST = "referrers.json"
PREDICATE_TYPE = "in-toto.io/predicate-type"


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A document to attach. `kind` is the artifact's type, `media_type` that of its content."""

    kind: str
    media_type: str
    content: bytes
    title: str
    annotations: dict[str, str] = {}


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that refers to an image: its manifest's descriptor, and the type it says it has."""

    digest: str
    kind: str
    size: int
    annotations: dict[str, str] = {}


class ArtifactManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The manifest of an artifact; `layers` are its documents."""

    config: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]
    schema_version: int = 2
    media_type: str = oci.MANIFEST
    artifact_type: str = ""
    subject: oci.Descriptor | None = None
    annotations: dict[str, str] = {}


class Written(NamedTuple):
    """An artifact as blobs in a layout: its manifest, and what that names."""

    descriptor: Descriptor
    content: bytes
    blobs: tuple[Descriptor, ...]


def write(layout: Path, subject: Descriptor, artifact: Artifact) -> Written:
    """Put an artifact's blobs and manifest into a layout, without naming it there. The same artifact gives the same digest.

    Raises:
        SeatrialError: the layout cannot be written.
    """
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    config = oci.add_blob(layout, b"{}", EMPTY)
    layer = oci.add_blob(
        layout,
        artifact.content,
        artifact.media_type,
        annotations={TITLE: artifact.title, **artifact.annotations},
    )
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": artifact.kind,
        "config": config,
        "layers": [layer],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        **({"annotations": artifact.annotations} if artifact.annotations else {}),
    }
    content = oci.encode(manifest)
    described = oci.add_blob(
        layout, content, oci.MANIFEST, artifact_type=artifact.kind, annotations=artifact.annotations
    )
    return Written(described, content, (config, layer))


def attach_to_layout(layout: Path, subject: Descriptor, artifacts: Iterable[Artifact]) -> list[Attached]:
    """Keep artifacts in a layout, beside the image that they refer to; those that are there stay as they are.

    `referrers.json` names them, in the form in which a registry lists referrers. They are not in `index.json`, where
    programs that expect one image would find several.

    Raises:
        SeatrialError: the layout is damaged or cannot be written.
    """
    written = [write(layout, subject, one) for one in artifacts]
    # Others may attach at the same time; every layout has the file oci-layout, and it never changes.
    with locked(layout / "oci-layout"):
        known = {one.digest: one for one in _listed(layout)}
        known |= {one.descriptor.digest: one.descriptor for one in written}
        write_atomic(layout / _LIST, oci.encode(oci.Index(manifests=tuple(known.values()))))
    return attached([one.descriptor for one in written])


def in_layout(layout: Path, digest: str) -> list[Attached]:
    """The artifacts of a layout that refer to the image with that digest.

    Raises:
        SeatrialError: the layout is damaged.
    """
    found = []
    for one in _listed(layout):
        manifest = oci.read_json(layout, one.digest, ArtifactManifest)
        if manifest.subject is not None and manifest.subject.digest == digest:
            found.append(one)
    return attached(found)


def _listed(layout: Path) -> list[Descriptor]:
    """What `referrers.json` names and the layout still has: a new image may have replaced the old one."""
    place = layout / _LIST
    if not place.exists():
        return []
    try:
        found = msgspec.json.decode(place.read_bytes(), type=oci.Index).manifests
    except msgspec.MsgspecError as error:
        raise SeatrialError(
            f"{_LIST} is damaged: {error}",
            where=str(layout),
            fix=f"remove {place}, and attest the image again",
        ) from error
    return [one for one in found if oci.blob_path(layout, one.digest).exists()]


def again(layout: Path, digest: str) -> list[Written]:
    """The artifacts that a layout keeps of an image, as they were written.

    Raises:
        SeatrialError: the layout is damaged.
    """
    found = []
    names = {one.digest for one in in_layout(layout, digest)}
    for descriptor in _listed(layout):
        if descriptor.digest in names:
            manifest = oci.read_json(layout, descriptor.digest, ArtifactManifest)
            content = oci.blob_path(layout, descriptor.digest).read_bytes()
            found.append(Written(descriptor, content, (manifest.config, *manifest.layers)))
    return found


def documents_in(layout: Path, digest: str) -> list[tuple[Descriptor, bytes]]:
    """The documents of an artifact, each with its descriptor.

    Raises:
        SeatrialError: one is missing or damaged.
    """
    manifest = oci.read_json(layout, digest, ArtifactManifest)
    found = []
    for layer in manifest.layers:
        try:
            content = oci.blob_path(layout, layer.digest).read_bytes()
        except FileNotFoundError as error:
            raise SeatrialError(f"blob {layer.digest} is missing", where=str(layout)) from error
        found.append((layer, checked(layer, content, str(layout))))
    return found


def checked(descriptor: Descriptor, content: bytes, where: str) -> bytes:
    """The content, if it is what the descriptor names.

    Raises:
        SeatrialError: it is not.
    """
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != descriptor.digest:
        raise SeatrialError(
            f"blob {descriptor.digest} is damaged: its content has another digest", where=where
        )
    return content


def attached(descriptors: Iterable[Descriptor]) -> list[Attached]:
    """Descriptors of a list of referrers, as what they say."""
    return [
        Attached(digest=one.digest, kind=one.artifact_type, size=one.size, annotations=one.annotations)
        for one in descriptors
    ]
