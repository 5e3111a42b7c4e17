"""What a lock says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from seatrial.images.solving.releases import File
    from seatrial.images.target import Target


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A package at one version. `files` are all that the index lists of it with a hash, `usable` those for the target."""

    name: str
    version: str
    files: tuple[File, ...]
    usable: tuple[File, ...]


class Left(msgspec.Struct, frozen=True):
    """What is installed and not pinned: as it is asked for, and why."""

    text: str
    reason: str


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """The packages of the final image of `origin` (a Dockerfile or dependency file), sorted by name, for one target.

    `base` is the reference of its image, empty where there is none; `brought` are packages that it has already,
    `conda` those that conda installs, both as `torch 2.4.0`; of `unseen` nobody can say what they need before they are
    built. `bare`: some are installed without what they need. `index` (empty for the default), `extra_indexes` and
    `find_links` are those that the files name, without credentials. `notes` are for the user; `left` is in them too.
    """

    origin: str
    target: Target
    base: str
    pins: tuple[Pin, ...]
    left: tuple[Left, ...] = ()
    brought: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    bare: bool = False
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether everything that the packages need is pinned here."""
        return not (self.left or self.brought or self.conda or self.unseen or self.bare)
