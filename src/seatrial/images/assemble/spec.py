"""What goes into an image: the plain values that `seatrial.yaml` and the command line map onto."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from seatrial.config.model import Base, Image

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
    """One image. Relative paths in `requirements`, `find_links` and `source` are relative to `root`.

    `base`: `debian:SUITE`, `ubuntu:SUITE`, an OCI layout folder, or a registry reference.
    `packages`: further Debian packages, for a base that is a Debian or Ubuntu system.
    `requirements`: requirement files, pyproject.toml, uv.lock, poetry.lock, pylock.toml or environment.yml.
    `extras`, `groups`: of the project, with pyproject.toml or a lock. `project`: whether it is installed itself;
    None: when it says how it is built. `find_links`: folders of wheels. `offline`: ask no index.
    `build`: packages without a wheel are built, in `build_base` (empty: a fitting one) with `build_packages`, each
    within `build_timeout` seconds.
    `source`, `exclude`: patterns of .gitignore; an empty `source` puts no source into the image.
    `user`: a name (made with uid 10001 when the base lacks it), `uid` or `uid:gid`.
    `owner`: who owns the source, `root` or `user`.
    `lazy`: its layers are eStargz; `first_files`: a file that lists what is fetched ahead of all else (`lazy.first`).
    """

    root: Path
    base: str = "debian:bookworm"
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    project: bool | None = None
    find_links: tuple[str, ...] = ()
    offline: bool = False
    build: bool = True
    build_base: str = ""
    build_packages: tuple[str, ...] = ()
    build_timeout: float = 3600.0
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
    lazy: bool = False
    first_files: str = ""
    platforms: tuple[str, ...] = ("linux/amd64",)

    @property
    def platform(self) -> str:
        """The platform of an image that has one."""
        return self.platforms[0]


def from_config(root: Path, image: Image) -> ImageSpec:
    """The image that `seatrial.yaml` in `root` describes."""
    return ImageSpec(
        root=root,
        base=_base(root, image.base) or "debian:bookworm",
        packages=image.base.packages,
        requirements=image.requirements,
        extras=image.extras,
        groups=image.groups,
        project=image.project,
        find_links=image.find_links,
        build=image.build.allow,
        build_base=_base(root, image.build.base) if image.build.base else "",
        build_packages=(*(image.build.base.packages if image.build.base else ()), *image.build.packages),
        build_timeout=image.build.timeout,
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
        lazy=image.lazy,
        first_files=image.first_files or "",
        owner=image.owner,
        platforms=(image.platform,) if isinstance(image.platform, str) else image.platform,
    )


def _base(root: Path, base: Base) -> str:
    """As `bases.prepare` takes it."""
    if base.oci:
        return str((root / base.oci).absolute())
    if base.debian:
        return f"{'ubuntu' if base.debian in UBUNTU_SUITES else 'debian'}:{base.debian}"
    return base.registry or ""


class AssembledLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the result. `what` says what is in it, `reused` that it came from the cache or the base.

    `why` says why it is a layer of its own, `reason` why it is new: what changed since the image before. Of an
    image that was not made, `digest` and `size` are empty and 0 where nobody knows them yet.
    """

    digest: str
    size: int
    what: str
    reused: bool
    why: str = ""
    reason: str = ""


class AssembledImage(msgspec.Struct, frozen=True, kw_only=True):
    """The image for one platform: manifest digest, bytes of its layers, layers lowest first.

    `settings_changed` names what its configuration says otherwise than that of the image before.
    """

    platform: str
    digest: str
    size: int
    layers: tuple[AssembledLayer, ...]
    settings_changed: tuple[str, ...] = ()


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a layout: digest, bytes of all layers, layers lowest first, seconds it took.

    For several platforms the digest is that of the index that names them, and each layer counts once. `images`
    has an entry for every platform. `notes` are things worth knowing, such as two packages that disagree about a
    file. `missing_wheels` and `missing_bytes` are what has to be fetched first when nothing was made.
    """

    digest: str
    size: int
    layers: tuple[AssembledLayer, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    images: tuple[AssembledImage, ...] = ()
    missing_wheels: int = 0
    missing_bytes: int = 0
