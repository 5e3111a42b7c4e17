"""The image that a command line names: a folder on this machine, or a reference in a registry."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def source_options(function: F) -> F:
    """`--platform` and `--insecure`, for commands that take REF or FOLDER."""
    insecure = click.option(
        "--insecure", is_flag=True, help="Allow a registry without TLS (loopback needs no flag)."
    )
    platform = click.option(
        "--platform", default="", metavar="OS/ARCH", help="Which image of several; default: this machine's."
    )
    return insecure(platform(function))


def find_image(source: str, *, platform: str, insecure: bool) -> tuple[Path, str]:
    """The layout and the manifest's digest; a reference is pulled into the cache first.

    Of several images that for `platform` is meant, or else the one for this machine.

    Raises:
        SeatrialError: there is no such image.
        TransportError: the registry cannot be reached or refuses.
    """
    from seatrial.images import layout as oci
    from seatrial.images.target import this_platform

    folder = Path(source)
    if folder.is_dir() or source.startswith(("/", "./", "../")):
        several = len(oci.list_images(folder)) > 1
        platform = platform or (this_platform() if several else "")
        return folder, oci.read_image(folder, platform=platform).digest
    from seatrial import locks, paths
    from seatrial.images import registry
    from seatrial.images.reference import parse

    parse(source)
    platform = platform or this_platform()
    place = paths.cache() / "pulled" / hashlib.sha256(f"{source} {platform}".encode()).hexdigest()[:32]
    place.mkdir(parents=True, exist_ok=True)
    with locks.locked(place.with_suffix(".lock")):
        return place, registry.pull(source, place, platform=platform, insecure=insecure)
