"""Base images: made from Debian packages, read from a folder, or pulled from a registry; always an OCI layout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import Use, publish, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

_SUITE = re.compile(r"(?P<system>debian|ubuntu):(?P<suite>[a-z][a-z0-9-]*)")


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base image: the layout that holds it, its manifest digest, its platform, and `name` as it was asked for."""

    layout: Path
    digest: str
    platform: str
    name: str
    made_now: bool = False


def prepare(
    base: str,
    use: Use,
    *,
    platform: str = "linux/amd64",
    insecure: bool = False,
    refresh: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> Base:
    """Bring a base into a layout on this machine.

    `debian:SUITE` and `ubuntu:SUITE` are made by mmdebstrap once and used again until `refresh`; a folder is
    read where it is; anything else is a registry reference whose layers are copied as they are.

    Raises:
        SeatrialError: the base cannot be made, read or pulled.
        MissingToolError: mmdebstrap or a permission it needs is missing.
    """
    if match := _SUITE.fullmatch(base):
        from seatrial.images.debian import prepare_debian

        return prepare_debian(
            match["system"], match["suite"], use, platform=platform, refresh=refresh, point=point
        )
    folder = Path(base).expanduser()
    if base.startswith((".", "/", "~")) or (folder / "oci-layout").is_file():
        return _from_layout(folder, base, platform)
    return _from_registry(base, use, platform=platform, insecure=insecure, refresh=refresh)


def _from_layout(folder: Path, name: str, platform: str) -> Base:
    image = oci.read_image(folder, platform=platform)
    return Base(layout=folder.absolute(), digest=image.digest, platform=platform, name=name)


def _from_registry(reference: str, use: Use, *, platform: str, insecure: bool, refresh: bool) -> Base:
    """Pull into a layout of its own; what names its digest and is there needs no network."""
    key = hashlib.sha256(f"{reference} {platform}".encode()).hexdigest()
    entry = use.hold("bases", f"pulled-{key}")
    if "@sha256:" in reference and not refresh and (entry / "index.json").exists():
        return _from_layout(entry, reference, platform)
    from seatrial.images.registry import pull

    if entry.exists():
        pull(reference, entry, platform, insecure=insecure)
        return _from_layout(entry, reference, platform)
    with scratch() as folder:
        made = folder / "layout"
        pull(reference, made, platform, insecure=insecure)
        publish(made, entry)
    return msgspec.structs.replace(_from_layout(entry, reference, platform), made_now=True)


def check_platform(config: dict[str, object], platform: str, name: str) -> None:
    """Compare an image's configuration with the platform that was asked for.

    Raises:
        SeatrialError: the base is for another processor.
    """
    found = f"{config.get('os', 'linux')}/{config.get('architecture', '')}"
    if found != platform:
        raise SeatrialError(f"the base is for {found}, not for {platform}", where=name, fix="choose another base")
