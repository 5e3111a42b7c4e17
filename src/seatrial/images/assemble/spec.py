"""What goes into an image: the plain values that `seatrial.yaml` and the command line map onto."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation

import msgspec


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One image. Relative paths in `requirements` and `source` are relative to `root`.

    `base`: `debian:SUITE`, `ubuntu:SUITE`, an OCI layout folder, or a registry reference.
    `source`, `exclude`: patterns of .dockerignore; an empty `source` puts no source into the image.
    `user`: a name (made with uid 10001 when the base lacks it), `uid` or `uid:gid`.
    `owner`: who owns the source, `root` or `user`.
    """

    root: Path
    base: str = "debian:bookworm"
    requirements: tuple[str, ...] = ()
    source: tuple[str, ...] = (".",)
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
