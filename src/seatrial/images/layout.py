"""An OCI image layout: a folder with `index.json` and content-addressed blobs.

Everything about images passes from one capability to the next as such a folder.
Source: OCI image-spec v1.1, image-layout.md and manifest.md.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

MAX_LAYERS = 500
"""More than any engine mounts: Docker 125, Podman 500."""
_MAX_JSON = 16 << 20
_MAX_DEPTH = 4
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """`linux/amd64`, or `linux/arm64` with variant `v8`."""

    architecture: str
    os: str = "linux"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A typed reference to a blob; `size` is in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One image for one platform; layers lowest first."""

    schema_version: int = 2
    media_type: str = MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Several manifests under one name."""

    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...] = ()
    annotations: dict[str, str] = {}


# What each says of itself, and what only the other one has. Source: image-spec, "manifest.md" and CVE-2021-41190.
_DOCUMENTS: dict[Any, tuple[tuple[str, ...], set[str]]] = {
    Manifest: ((MANIFEST, DOCKER_MANIFEST), {"manifests"}),
    Index: ((INDEX, DOCKER_INDEX), {"layers", "config"}),
}


class Image(msgspec.Struct, frozen=True):
    """A manifest found in a layout. `config` is the image configuration as JSON."""

    descriptor: Descriptor
    manifest: Manifest
    config: dict[str, Any]

    @property
    def digest(self) -> str:
        return self.descriptor.digest


class _Started(msgspec.Struct, frozen=True, rename="pascal"):
    """What is read of how an image starts, with the types that it must have."""

    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    user: str | None = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None


class _Layers(msgspec.Struct, frozen=True):
    diff_ids: list[str] = []


class _Config(msgspec.Struct, frozen=True):
    rootfs: _Layers
    architecture: str = ""
    os: str = ""
    variant: str = ""
    config: _Started | None = None
    history: list[dict[str, Any]] | None = None


def check_digest(digest: str) -> str:
    """Return `digest` if it is `sha256:` and 64 hexadecimal digits: it becomes part of a path.

    Raises:
        SeatrialError: it is anything else.
    """
    if not _DIGEST.fullmatch(digest):
        raise SeatrialError(f"{digest[:80]!r} is not a sha256 digest", fix="only sha256 content is read")
    return digest


def blob_path(layout: Path, digest: str) -> Path:
    """Where the content of `digest` lies in the layout."""
    return layout / "blobs" / "sha256" / check_digest(digest).removeprefix("sha256:")


def create(layout: Path) -> None:
    """Make an empty layout, or leave the one that is there."""
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    if not (layout / "oci-layout").exists():
        write_atomic(layout / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    if not (layout / "index.json").exists():
        write_atomic(layout / "index.json", encode(Index()))


def encode(value: Any) -> bytes:
    """Compact JSON; the same value gives the same bytes."""
    return msgspec.json.encode(value)


def add_blob(layout: Path, content: bytes, media_type: str, **fields: Any) -> Descriptor:
    """Put small content into the layout and return its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    path = blob_path(layout, digest)
    if not path.exists():
        write_atomic(path, content)
    return Descriptor(media_type, digest, len(content), **fields)


def link_blob(layout: Path, digest: str, source: Path) -> None:
    """Put the file `source`, whose digest is known, into the layout: a hard link where that works, else a copy."""
    path = blob_path(layout, digest)
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            import shutil

            shutil.copyfile(source, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_document(found: Any, kind: Any) -> None:
    """A document that is both a manifest and an index is read as one by some and as the other by others."""
    types, others = _DOCUMENTS[kind]
    if isinstance(found, dict) and (found.get("mediaType", types[0]) not in types or others & found.keys()):
        raise msgspec.ValidationError(f"it is no {kind.__name__.lower()}, or more than that")


def set_index(layout: Path, index: Index) -> None:
    """Say which images the layout holds; written last, so that everything it names is there."""
    write_atomic(layout / "index.json", encode(index))


def read_index(layout: Path) -> Index:
    """Read the layout's `index.json`.

    Raises:
        SeatrialError: the folder is no OCI layout, or the file is damaged.
    """
    try:
        if (layout / "index.json").stat().st_size > _MAX_JSON:
            raise SeatrialError(f"index.json has more than {_MAX_JSON} bytes", where=str(layout))
        content = (layout / "index.json").read_bytes()
        _check_document(msgspec.json.decode(content), Index)
        return msgspec.json.decode(content, type=Index)
    except FileNotFoundError as error:
        raise SeatrialError(
            "this folder is not an OCI image layout",
            where=str(layout),
            why="it has no index.json",
            fix="give a folder written by `seatrial image assemble --oci FOLDER`",
        ) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SeatrialError(f"index.json is damaged: {error}", where=str(layout)) from error


def read_image(layout: Path, *, platform: str = "", digest: str = "") -> Image:
    """Find one image: by manifest digest, by platform (`linux/amd64`), or the only one there is.

    The digest of an index stands for the images that it names.

    Raises:
        SeatrialError: there is no such image, or several fit; says which platforms there are.
    """
    listed = list_images(layout, digest)
    found = [d for d in listed if not platform or fits(d, platform)]
    if len(found) != 1:
        raise _not_one(layout, listed, found, digest or platform)
    manifest = read_json(layout, found[0].digest, Manifest)
    image = Image(found[0], manifest, read_json(layout, manifest.config.digest, dict))
    diff_ids(image)
    return image


def diff_ids(image: Image) -> list[str]:
    """The digests of the uncompressed layers, lowest first, one for each layer of the manifest.

    Raises:
        SeatrialError: the configuration is none, or does not fit the manifest.
    """
    try:
        config = msgspec.convert(image.config, _Config)
    except msgspec.ValidationError as error:
        raise SeatrialError(f"the image's configuration is none: {error}", where=image.digest) from error
    found, layers = config.rootfs.diff_ids, len(image.manifest.layers)
    if layers > MAX_LAYERS:
        raise SeatrialError(
            f"the image has {layers} layers", where=image.digest, why=f"no engine runs more than {MAX_LAYERS}"
        )
    if len(found) != layers:
        raise SeatrialError(f"the image has {layers} layers and {len(found)} diff_ids", where=image.digest)
    try:
        for layer in image.manifest.layers:
            check_digest(layer.digest)
        return [check_digest(one) for one in found]
    except SeatrialError as error:
        error.where = image.digest
        raise


def list_images(layout: Path, digest: str = "") -> list[Descriptor]:
    """Every image of the layout, also those that an index in it names; each once.

    With `digest` (of a manifest or of an index) only what it names.

    Raises:
        SeatrialError: the folder is no OCI layout, or damaged.
    """
    found = {d.digest: d for d in _images(layout, read_index(layout).manifests, digest)}
    # BuildKit lists what it attests of an image as one more image, for a platform that is none.
    return [d for d in found.values() if digest or d.platform is None or d.platform.os != "unknown"]


def _images(
    layout: Path, descriptors: tuple[Descriptor, ...], digest: str, depth: int = 0
) -> list[Descriptor]:
    found: list[Descriptor] = []
    if depth > _MAX_DEPTH:
        raise SeatrialError(f"indexes are nested more than {_MAX_DEPTH} deep", where=str(layout))
    for descriptor in descriptors:
        rest = "" if descriptor.digest == digest else digest
        if descriptor.media_type in (INDEX, DOCKER_INDEX):
            found += _images(layout, read_json(layout, descriptor.digest, Index).manifests, rest, depth + 1)
        elif descriptor.media_type in (MANIFEST, DOCKER_MANIFEST) and not rest:
            found.append(descriptor)
    return found


def fits(descriptor: Descriptor, platform: str) -> bool:
    """Whether the image is for `platform`; one that does not say fits any."""
    return descriptor.platform is None or platform in (
        str(descriptor.platform),
        f"{descriptor.platform.os}/{descriptor.platform.architecture}",
        # Every arm64 image is of variant v8, whether it says so or not.
        f"{descriptor.platform}/v8" if descriptor.platform.architecture == "arm64" else "",
    )


def _not_one(layout: Path, listed: list[Descriptor], found: list[Descriptor], wanted: str) -> SeatrialError:
    what = "no image" if not found else f"{len(found)} images"
    there = sorted({str(d.platform) for d in listed if d.platform})
    return SeatrialError(
        f"{what} for {wanted}" if wanted else f"{what} in this layout",
        where=str(layout),
        why=f"it holds {', '.join(there)}" if there else None,
        fix="choose one with --platform" if there else "give a folder that holds the image",
    )


def read_json(layout: Path, digest: str, kind: Any) -> Any:
    """Decode a JSON blob after comparing its digest.

    Raises:
        SeatrialError: the blob is missing, damaged or not of that kind.
    """
    path = blob_path(layout, digest)
    try:
        if path.stat().st_size > _MAX_JSON:
            raise SeatrialError(f"blob {digest} has more than {_MAX_JSON} bytes", where=str(layout))
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SeatrialError(f"blob {digest} is missing", where=str(layout)) from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise SeatrialError(f"blob {digest} is damaged: its content has another digest", where=str(layout))
    try:
        if kind in _DOCUMENTS:
            _check_document(msgspec.json.decode(content), kind)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SeatrialError(f"blob {digest} is not what it should be: {error}", where=str(layout)) from error
