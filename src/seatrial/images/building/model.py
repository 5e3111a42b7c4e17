"""What passes between the parts of a build, and the errors it ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003 - NamedTuple keeps the annotations
from pathlib import Path  # noqa: TC003
from threading import Lock  # noqa: TC003
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.lock import LockedWheel  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from seatrial.images.assemble.spec import ImageSpec
    from seatrial.images.assemble.store import Use
    from seatrial.images.bases import Base
    from seatrial.images.probe import Interpreter, Probed
    from seatrial.images.rootfs import Root

RECIPE = 2
"""Part of every key: raised when the same source may become another wheel."""


class BuildError(SeatrialError):
    """A source that did not become a wheel."""


class SourceError(SeatrialError):
    """A source that cannot be had, or that was made to harm."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of a build may take, in seconds, bytes and numbers; 0 bytes of memory: most of this machine's."""

    seconds: float = 3600.0
    memory: int = 0
    disk: int = 20 << 30
    files: int = 1_000_000
    processes: int = 4096
    log: int = 256 << 20


class System(NamedTuple):
    """A root file system that builds: its base, its Python, its files.

    `pure` says why only wheels without compiled parts may come from it; empty when all may. `compiles` says that a
    compiler was put into it, `note` what its user should know.
    """

    base: Base
    interpreter: Interpreter
    root: Root
    home: str
    pure: str
    compiles: bool
    note: str = ""


class Workshop(NamedTuple):
    """What all builds of an image share. `systems` are those that were prepared, by what they are for; `notes` are this build's."""

    spec: ImageSpec
    base: Base
    probed: Probed
    use: Use
    insecure: bool
    refresh: bool
    env: Mapping[str, str]
    say: Callable[[str], None]
    point: Callable[[str], None]
    limits: Limits
    systems: dict[str, System]
    preparing: Lock
    parents: tuple[str, ...] = ()
    notes: list[str] = []  # noqa: RUF012 - `make` gives each build one of its own

    def note(self, text: str) -> None:
        """Something about this build that its user should know."""
        self.say(f"note: {text}")
        self.notes.append(text)


class Source(NamedTuple):
    """A source that is at hand but not yet laid out.

    `digest` names its content, `revision` the commit of a repository. `archive` or `folder` holds it; a folder of
    ours may be moved, one of the user's is copied. `name` and `version` are what is known of it. `env` is what
    version tools need to be told.
    """

    digest: str
    label: str
    where: str
    archive: Path | None = None
    folder: Path | None = None
    revision: str = ""
    name: str = ""
    version: str = ""
    subfolder: str = ""
    env: Mapping[str, str] = {}


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache remembers of a build: the wheel, and what it was built with, for those who want to know."""

    wheel: LockedWheel
    metadata: str
    source: str
    system: str
    python: str
    requirements: tuple[LockedWheel, ...] = ()
    notes: tuple[str, ...] = ()
