"""Where an image comes from: a layout, or a registry of which only what is needed is fetched."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial import downloads, locks, paths
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.reference import parse
from seatrial.images.registry_manifests import content_digest, decode, get_manifest
from seatrial.images.registry_session import PULL, authenticate, call, open_session, open_stream, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import httpx

    from seatrial.images.reference import Reference
    from seatrial.images.registry_manifests import Fetched
    from seatrial.images.registry_session import Session

_LARGEST_CONFIG = 8 << 20
_MOST_LEVELS = 3


class _Settings(msgspec.Struct, rename="pascal"):
    """What is read of how a container starts."""

    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    user: str | None = None
    working_dir: str | None = None


class _Entry(msgspec.Struct):
    created_by: str | None = None
    empty_layer: bool | None = None


class _Config(msgspec.Struct):
    """The parts of an image's configuration that are read. Source: OCI image-spec v1.1, config.md."""

    architecture: str
    os: str = "linux"
    variant: str | None = None
    created: str | None = None
    config: _Settings | None = None
    history: list[_Entry] | None = None


class Blobs:
    """The blobs of an image. `session` is None for a layout; `fetched` counts bytes from the registry by digest."""

    def __init__(self, layout: Path, session: Session | None = None) -> None:
        self.layout = layout
        self.session = session
        self.fetched: dict[str, int] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def here(self, blob: oci.Descriptor) -> bool:
        """Whether it needs no fetching."""
        path = oci.blob_path(self.layout, blob.digest)
        return path.is_file() and path.stat().st_size == blob.size

    def path(self, blob: oci.Descriptor) -> Path:
        """Its file, fetched first when it is only in the registry.

        Raises:
            SeatrialError: it is missing or damaged.
            TransportError: the registry cannot be reached or refuses.
        """
        with self._lock:
            mine = self._locks.setdefault(blob.digest, threading.Lock())
        with mine:
            if not self.here(blob):
                self._fetch(blob)
        return oci.blob_path(self.layout, blob.digest)

    def _fetch(self, blob: oci.Descriptor) -> None:
        session, path = self.session, oci.blob_path(self.layout, blob.digest)
        if session is None:
            raise SeatrialError(
                f"blob {blob.digest} is missing or damaged", where=str(self.layout),
                fix="assemble or pull the image again",
            )  # fmt: skip

        def open_from(extra: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
            return open_stream(session, session.url(f"blobs/{blob.digest}"), headers=extra)

        sha256 = oci.check_digest(blob.digest).removeprefix("sha256:")
        self.fetched[blob.digest] = downloads.save(
            session.link, open_from, path, sha256=sha256, size=blob.size
        )


class Opened(NamedTuple):
    """What IMAGE is: its images, `listed` is the index that holds them when there is one.

    `reference` is None for a layout; `dropped` are manifests that are no images, such as attestations.
    """

    images: tuple[oci.Image, ...]
    listed: oci.Index | None
    blobs: Blobs
    reference: Reference | None
    dropped: tuple[str, ...] = ()


@contextmanager
def open_image(source: str, *, platform: str = "", insecure: bool = False) -> Iterator[Opened]:
    """Open a layout folder or a registry reference; layers are fetched when they are asked for.

    Raises:
        SeatrialError: there is no such image.
        TransportError: the registry cannot be reached or refuses.
    """
    folder = Path(source)
    if folder.is_dir() or source.startswith(("/", "./", "../")):
        yield _choose(_from_layout(folder), platform, source)
        return
    reference = parse(source)
    key = hashlib.sha256(f"{reference.name} parts".encode()).hexdigest()[:32]
    place = paths.cache() / "pulled" / key
    place.parent.mkdir(mode=0o700, exist_ok=True)
    with (
        locks.locked(place.with_suffix(".lock"), shared=True),
        open_session(reference, insecure=insecure) as session,
    ):
        authenticate(session, PULL)
        oci.create(place)
        blobs = Blobs(place, session)
        yield _choose(_from_registry(session, blobs, reference), platform, source)


def _choose(opened: Opened, platform: str, source: str) -> Opened:
    if not platform:
        return opened
    fitting = tuple(i for i in opened.images if platform in (platform_of(i), platform_of(i, variant=True)))
    if len(fitting) != 1:
        there = ", ".join(platform_of(image, variant=True) for image in opened.images)
        raise SeatrialError(
            f"there is no image for {platform}",
            where=source,
            why=f"there are: {there}",
            fix="choose one of those",
        )
    return opened._replace(images=fitting, listed=None)


def platform_of(image: oci.Image, *, variant: bool = False) -> str:
    """`linux/amd64`, with its variant when that is asked for."""
    config = image.config
    text = f"{config.get('os') or 'linux'}/{config.get('architecture') or ''}"
    return f"{text}/{config['variant']}" if variant and config.get("variant") else text


def _from_layout(folder: Path) -> Opened:
    top = oci.read_index(folder)
    index: oci.Index | None = top
    if len(top.manifests) == 1:
        only = top.manifests[0]
        nested = only.media_type in (oci.INDEX, oci.DOCKER_INDEX)
        index = oci.read_json(folder, only.digest, oci.Index) if nested else None
    images, dropped = [], []
    for descriptor in _flat(folder, top.manifests, 0):
        if _is_image(descriptor):
            manifest = oci.read_json(folder, descriptor.digest, oci.Manifest)
            config = oci.read_json(folder, manifest.config.digest, dict)
            images.append(oci.Image(descriptor, manifest, config))
        else:
            dropped.append(descriptor.digest)
    if not images:
        raise SeatrialError("the layout holds no image", where=str(folder))
    return Opened(tuple(images), index, Blobs(folder.absolute()), None, tuple(dropped))


def _flat(folder: Path, descriptors: tuple[oci.Descriptor, ...], level: int) -> Iterator[oci.Descriptor]:
    for descriptor in descriptors:
        if descriptor.media_type not in (oci.INDEX, oci.DOCKER_INDEX):
            yield descriptor
        elif level < _MOST_LEVELS:
            inner = oci.read_json(folder, descriptor.digest, oci.Index).manifests
            yield from _flat(folder, inner, level + 1)


def _is_image(descriptor: oci.Descriptor) -> bool:
    """Builders put attestations beside images, for the platform unknown/unknown."""
    kind = descriptor.annotations.get("vnd.docker.reference.type", "")
    unknown = descriptor.platform is not None and descriptor.platform.os == "unknown"
    image = descriptor.media_type in (oci.MANIFEST, oci.DOCKER_MANIFEST)
    return image and not (kind or unknown or descriptor.artifact_type)


def _from_registry(session: Session, blobs: Blobs, reference: Reference) -> Opened:
    top = get_manifest(session, reference.digest or reference.tag or "latest")
    if not top.is_index:
        return Opened((_image(session, blobs, top, None),), None, blobs, reference)
    index = decode(session, top, oci.Index)
    images, dropped = [], []
    for descriptor in index.manifests:
        if _is_image(descriptor):
            images.append(_image(session, blobs, get_manifest(session, descriptor.digest), descriptor))
        else:
            dropped.append(descriptor.digest)
    if not images:
        raise SeatrialError("this index names no image", where=str(reference))
    return Opened(tuple(images), index, blobs, reference, tuple(dropped))


def _image(session: Session, blobs: Blobs, fetched: Fetched, descriptor: oci.Descriptor | None) -> oci.Image:
    """Manifest and configuration, kept in the layout so that they can be read again."""
    manifest = decode(session, fetched, oci.Manifest)
    config = _config(session, blobs, manifest)
    oci.add_blob(blobs.layout, fetched.content, fetched.media_type)
    if descriptor is None:
        descriptor = oci.Descriptor(fetched.media_type, fetched.digest, len(fetched.content))
    return oci.Image(descriptor, manifest, config)


def _config(session: Session, blobs: Blobs, manifest: oci.Manifest) -> dict[str, object]:
    digest = manifest.config.digest
    if not blobs.here(manifest.config):
        if manifest.config.size > _LARGEST_CONFIG:
            raise SeatrialError(f"the configuration {digest} has {manifest.config.size} bytes")
        answer = call(session, "GET", session.url(f"blobs/{digest}"), actions=PULL)
        if answer.status_code != 200:  # noqa: PLR2004
            raise refusal(session, answer, f"the registry does not give the configuration {digest}")
        if content_digest(answer.content) != digest:
            raise refusal(session, answer, f"the configuration {digest} is damaged")
        oci.add_blob(blobs.layout, answer.content, oci.CONFIG)
    found: dict[str, object] = oci.read_json(blobs.layout, digest, dict)
    return found


def check_settings(image: oci.Image | None) -> None:
    """Raise unless what the configuration says has the types that it must have: images come from strangers.

    Raises:
        SeatrialError: it has not.
    """
    if image is None:
        return
    try:
        msgspec.convert(image.config, _Config)
    except msgspec.ValidationError as error:
        raise SeatrialError(f"the image's configuration is none: {error}", where=image.digest) from error


def manifest_only(reference: str, platform: str, *, insecure: bool) -> oci.Image:
    """The manifest and configuration of a registry image, for one platform, without any layer.

    Raises:
        SeatrialError: there is none.
        TransportError: the registry cannot be reached or refuses.
    """
    with open_image(reference, platform="", insecure=insecure) as opened:
        return for_platform(opened, platform, reference)


def for_platform(opened: Opened, platform: str, source: str) -> oci.Image:
    """The image of several that is for a platform (`os/architecture`); the only one whatever it is for.

    Raises:
        SeatrialError: there is none.
    """
    if len(opened.images) == 1:
        return opened.images[0]
    fitting = [image for image in opened.images if platform_of(image) == platform]
    if not fitting:
        there = ", ".join(platform_of(image, variant=True) for image in opened.images)
        raise SeatrialError(f"there is no image for {platform}", where=source, why=f"there are: {there}")
    return min(fitting, key=lambda image: str(image.config.get("variant") or ""))


def cached_blob(digest: str) -> Path | None:
    """A layout on this machine, among bases and pulled images, that has the blob."""
    name = oci.check_digest(digest).removeprefix("sha256:")
    for kind in ("bases", "pulled"):
        for layout in sorted((paths.cache() / kind).glob("*")):
            if (layout / "blobs" / "sha256" / name).is_file():
                return layout
    return None


def read_cached(digest: str, platform: str) -> oci.Image | None:
    """The image that a digest names, when its manifest and configuration are on this machine."""
    layout = cached_blob(digest)
    if layout is None:
        return None
    try:
        content = oci.read_json(layout, digest, msgspec.Raw)
        size = oci.blob_path(layout, digest).stat().st_size
        head = msgspec.json.decode(content, type=dict)
        if "manifests" in head:
            inner = oci.read_json(layout, digest, oci.Index).manifests
            fitting = [
                d for d in inner if d.platform and f"{d.platform.os}/{d.platform.architecture}" == platform
            ]
            return read_cached(fitting[0].digest, "") if fitting and platform else None
        manifest = oci.read_json(layout, digest, oci.Manifest)
        config = oci.read_json(layout, manifest.config.digest, dict)
    except (SeatrialError, OSError):
        return None
    return oci.Image(oci.Descriptor(manifest.media_type, digest, size), manifest, config)
