"""What passes between reading a project's files, building what has no wheel, and assembling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.images.lock import LockedWheel  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from seatrial.images.assemble.spec import ImageSpec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a project asks for: absolute `files` in order, and how they are read (see `ImageSpec`)."""

    root: Path
    files: tuple[Path, ...]
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    project: bool | None = None
    find_links: tuple[Path, ...] = ()
    offline: bool = False


class Unbuilt(msgspec.Struct, frozen=True, kw_only=True):
    """Something that becomes a wheel by being built.

    `sdist`: `url` is an address without credentials or an absolute path, `sha256` that of the archive.
    `folder`: `url` is an absolute path on this machine. `git`: `url` is the repository's address, `revision` a commit, tag or branch.
    `subfolder` is where the project lies in it. `name` (normalised) and `version` are empty when unknown; `where` is
    `file:line` or whatever names the place that asked for it. `editable` says that the file asked for a link to the
    source; an image gets a copy.
    """

    kind: Literal["sdist", "folder", "git"]
    url: str
    name: str = ""
    version: str = ""
    sha256: str = ""
    revision: str = ""
    subfolder: str = ""
    editable: bool = False
    where: str = ""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was built and lies in the store (`fetch.wheel_path(wheel.sha256)`).

    `metadata` is the content of its METADATA file; `revision` the commit of a repository.
    `notes` are worth knowing about how it was built.
    """

    wheel: LockedWheel
    metadata: str
    revision: str = ""
    notes: tuple[str, ...] = ()


Build = Callable[[Unbuilt], Built]
"""Builds a wheel or raises `SeatrialError`; the same source in the same builder is built once."""


def wanted_by(spec: ImageSpec) -> Wanted:
    """What an image asks for."""
    return Wanted(
        root=spec.root,
        files=tuple((spec.root / name).absolute() for name in spec.requirements),
        extras=spec.extras,
        groups=spec.groups,
        project=spec.project,
        find_links=tuple((spec.root / name).absolute() for name in spec.find_links),
        offline=spec.offline,
    )
