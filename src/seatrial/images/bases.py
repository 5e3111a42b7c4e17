"""Base images: made from Debian packages, read from a folder, or pulled from a registry; always an OCI layout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import layout as oci
from seatrial.locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.images.assemble.store import Use

_SUITE = re.compile(r"(?P<system>debian|ubuntu):(?P<suite>[a-z][a-z0-9-]*)")


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base image: the layout that holds it, its manifest digest, its platform, and `name` as it was asked for.

    `added` says what is in the layers that were put on top of it here, lowest first; `origin` is then the digest
    of the image without them. `notes` are worth knowing.
    """

    layout: Path
    digest: str
    platform: str
    name: str
    made_now: bool = False
    origin: str = ""
    added: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(
    base: str,
    use: Use,
    *,
    packages: Sequence[str] = (),
    platform: str = "linux/amd64",
    insecure: bool = False,
    refresh: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> Base:
    """Bring a base into a layout on this machine.

    `debian:SUITE` and `ubuntu:SUITE` are made by mmdebstrap once and used again until `refresh`; a folder is
    read where it is; anything else is a registry reference whose layers are copied as they are. `packages` are
    Debian packages to be installed besides: the last two kinds get one more layer that holds them.

    Raises:
        SeatrialError: the base cannot be made, read or pulled.
        MissingToolError: a program or a permission that making it needs is missing.
    """
    if match := _SUITE.fullmatch(base):
        from seatrial.images.debian import prepare_debian

        return prepare_debian(
            match["system"],
            match["suite"],
            use,
            packages=packages,
            platform=platform,
            refresh=refresh,
            point=point,
        )
    folder = Path(base).expanduser()
    if base.startswith((".", "/", "~")) or (folder / "oci-layout").is_file():
        found = _from_layout(folder, base, platform)
    else:
        found = _from_registry(base, use, platform=platform, insecure=insecure, refresh=refresh)
    if not packages:
        return found
    from seatrial.images.system.packages import with_packages

    return with_packages(found, packages, use, refresh=refresh, point=point)


def _from_layout(folder: Path, name: str, platform: str, digest: str = "") -> Base:
    image = oci.read_image(folder, digest=digest) if digest else oci.read_image(folder, platform=platform)
    return Base(layout=folder.absolute(), digest=image.digest, platform=platform, name=name)


def _from_registry(reference: str, use: Use, *, platform: str, insecure: bool, refresh: bool) -> Base:
    """Pull into a layout of its own; what is named by its digest and is there needs no network."""
    from seatrial.images.registry_pull import pull

    key = hashlib.sha256(f"{reference} {platform}".encode()).hexdigest()
    entry = use.hold("bases", f"pulled-{key}")
    if "@sha256:" in reference and not refresh and (entry / "index.json").exists():
        return _from_layout(entry, reference, platform)
    # A pull that was killed leaves whole blobs and no index: the next one goes on with them.
    entry.mkdir(exist_ok=True)
    with locked(entry / ".lock"):
        digest = pull(reference, entry, platform=platform, insecure=insecure)
    found = _from_layout(entry, reference, platform, digest)
    if "@sha256:" in reference:
        return found
    said = f"the base {reference} may be another image tomorrow: today it is {digest}, as the label says; "
    return msgspec.structs.replace(found, notes=(f"{said}name it by a digest to stay with it",))
