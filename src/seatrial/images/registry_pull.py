"""An image from a registry into an OCI layout: every blob verified, blobs that are there already not fetched again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from seatrial import downloads
from seatrial.errors import SeatrialError
from seatrial.images import layout as layouts
from seatrial.images.layout import Descriptor, Index, Manifest, Platform
from seatrial.images.reference import parse
from seatrial.images.registry_manifests import Fetched, decode, get_manifest
from seatrial.images.registry_session import PULL, Session, authenticate, open_session, open_stream
from seatrial.images.registry_sources import remember
from seatrial.images.registry_workers import Cancelled, StoppableClock, each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx

    from seatrial.clock import Clock
    from seatrial.transport import Retry

_MOST_LEVELS = 3  # an index of indexes is allowed, an endless one is not


def pull(
    reference: str,
    layout: Path,
    *,
    platform: str = "linux/amd64",
    insecure: bool = False,
    point: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    retry: Retry | None = None,
) -> str:
    """Bring one image into `layout` (made when absent) and return its manifest digest.

    From an index the manifest for `platform` (`os/architecture[/variant]`) is taken. Blobs stream to temporary
    files and get their names when their sha256 is right, so a pull that was killed goes on with what is complete.
    The layout's index names this image besides those it named before.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such image or platform, or a blob is damaged.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        authenticate(session, PULL)
        fetched = for_platform(
            session, get_manifest(session, wanted.digest or wanted.tag or "latest"), platform
        )
        manifest = decode(session, fetched, Manifest)
        layouts.create(layout)
        point("registry.pull.manifest")
        stop = threading.Event()
        session.link = session.link._replace(clock=StoppableClock(session.link.clock, stop), stop=stop)
        blobs = list({blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values())
        blobs.sort(key=lambda blob: -blob.size)

        def fetch(blob: Descriptor) -> None:
            if stop.is_set():
                raise Cancelled
            fetch_blob(session, layout, blob)
            point("registry.pull.blob")

        each(fetch, blobs, stop)
        layouts.add_blob(layout, fetched.content, fetched.media_type)
        point("registry.pull.blobs")
        _name(layout, fetched)
        remember(wanted.registry, wanted.repository, [blob.digest for blob in blobs])
    return fetched.digest


def for_platform(session: Session, fetched: Fetched, platform: str) -> Fetched:
    """The manifest itself, or of an index that of its image for `platform`.

    Raises:
        SeatrialError: there is no image for that platform.
    """
    for _ in range(_MOST_LEVELS):
        if not fetched.is_index:
            return fetched
        fetched = get_manifest(session, _choose(session, decode(session, fetched, Index), platform).digest)
    raise SeatrialError(
        f"indexes within indexes, more than {_MOST_LEVELS} deep",
        where=session.reference.name,
        fix="give the digest",
    )


def _choose(session: Session, index: Index, platform: str) -> Descriptor:
    os_name, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    fitting = [
        entry
        for entry in index.manifests
        if entry.platform is not None
        and (entry.platform.os, entry.platform.architecture) == (os_name, architecture)
        and (not variant or entry.platform.variant in ("", variant))
    ]
    if not fitting:
        there = sorted({_platform_text(entry.platform) for entry in index.manifests if entry.platform})
        raise SeatrialError(
            f"there is no image for {platform}",
            where=str(session.reference),
            why=f"there are: {', '.join(there) or 'none with a platform'}",
            fix="choose one of those",
        )
    # Several variants: the plain one, else the lowest, runs on the most machines.
    return min(fitting, key=lambda entry: entry.platform.variant if entry.platform else "")


def _platform_text(platform: Platform) -> str:
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def fetch_blob(session: Session, layout: Path, blob: Descriptor) -> None:
    """Bring one blob into the layout, unless it is there.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the blob is damaged.
    """
    path = layouts.blob_path(layout, blob.digest)
    # A blob has its name only when it was whole; the size guards against a layout that another tool left half-written.
    if path.is_file() and path.stat().st_size == blob.size:
        return

    def open_from(extra: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        return open_stream(session, session.url(f"blobs/{blob.digest}"), headers=extra)

    try:
        downloads.save(
            session.link, open_from, path, sha256=blob.digest.removeprefix("sha256:"), size=blob.size
        )
    except SeatrialError as error:
        error.what = f"blob {blob.digest} could not be fetched: {error.what}"
        raise


def _name(layout: Path, fetched: Fetched) -> None:
    """Add the image to the layout's index, last, so that everything the index names is there."""
    manifest = layouts.read_json(layout, fetched.digest, layouts.Manifest)
    config = layouts.read_json(layout, manifest.config.digest, dict)
    platform = Platform(
        str(config.get("architecture", "")), str(config.get("os", "linux")), str(config.get("variant", ""))
    )
    descriptor = Descriptor(fetched.media_type, fetched.digest, len(fetched.content), platform=platform)
    others = tuple(entry for entry in layouts.read_index(layout).manifests if entry.digest != fetched.digest)
    layouts.set_index(layout, Index(manifests=(*others, descriptor)))
