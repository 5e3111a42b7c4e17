"""What goes into an image: the plain values that `seatrial.yaml` and the command line map onto."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from seatrial.config.model import Image

# Suites that Canonical still serves or archives; every other name is a suite of Debian.
# Source: https://releases.ubuntu.com/ and https://old-releases.ubuntu.com/
UBUNTU_SUITES = frozenset(
    (
        "trusty",
        "xenial",
        "bionic",
        "focal",
        "jammy",
        "lunar",
        "mantic",
        "noble",
        "oracular",
        "plucky",
        "questing",
    )
)


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One image. Relative paths in `requirements` and `source` are relative to `root`.

    `base`: `debian:SUITE`, `ubuntu:SUITE`, an OCI layout folder, or a registry reference.
    `packages`: further Debian packages, only with `debian:` and `ubuntu:`.
    `source`, `exclude`: patterns of .gitignore; an empty `source` puts no source into the image.
    `user`: a name (made with uid 10001 when the base lacks it), `uid` or `uid:gid`.
    `owner`: who owns the source, `root` or `user`.
    """

    root: Path
    base: str = "debian:bookworm"
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    source: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    workdir: str = "/app"
    env: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = "app"
    owner: str = "root"
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = {}
    bytecode: bool = True
    platform: str = "linux/amd64"


def from_config(root: Path, image: Image) -> ImageSpec:
    """The image that `seatrial.yaml` in `root` describes."""
    base = image.base.registry or "debian:bookworm"
    if image.base.oci:
        base = str((root / image.base.oci).absolute())
    elif image.base.debian:
        system = "ubuntu" if image.base.debian in UBUNTU_SUITES else "debian"
        base = f"{system}:{image.base.debian}"
    return ImageSpec(
        root=root,
        base=base,
        packages=image.base.packages,
        requirements=image.requirements,
        source=image.source.include,
        exclude=image.source.exclude,
        workdir=image.workdir,
        env=image.env,
        entrypoint=image.entrypoint,
        command=image.command,
        user=image.user,
        ports=image.ports,
        labels=image.labels,
        bytecode=image.bytecode,
        platform=image.platform,
    )


class AssembledLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the result. `what` says what is in it, `reused` that it came from the cache or the base."""

    digest: str
    size: int
    what: str
    reused: bool


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a layout: manifest digest, bytes of all layers, layers lowest first, seconds it took.

    `notes` are things worth knowing, such as two packages that disagree about a file.
    """

    digest: str
    size: int
    layers: tuple[AssembledLayer, ...]
    seconds: float
    notes: tuple[str, ...] = ()
