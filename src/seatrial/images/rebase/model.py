"""What a rebase is asked for and what it answers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import Literal

import msgspec

from seatrial.images.assemble.spec import AssembledLayer  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.testing.model import Check  # noqa: TC001 - msgspec reads the annotation

Answer = Literal["may", "may not", "nothing to do"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`image` and `onto` are references or layout folders, `onto` may be `debian:SUITE` too.

    `old` is `--from`: the old base, or how many layers it has. `out` is the layout to write, `tag` where to push
    to; with neither, the result goes to Seatrial's own data. `check` changes nothing. `drop_bytecode` leaves out
    Seatrial's own bytecode layers when the new base's Python would not take them.
    """

    image: str
    onto: str | None = None
    old: str | None = None
    platform: str = ""
    out: Path | None = None
    tag: str | None = None
    insecure: bool = False
    check: bool = False
    drop_bytecode: bool = False


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A base: its name and digest, empty when not known, how many layers it has, and how that is known."""

    name: str
    digest: str
    layers: int
    how: str = ""


class Rebased(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one platform. `changes` are differences of the configuration, `packages` of Debian packages.

    `digest` and `layers` are of the rebased image, empty when there is none.
    """

    platform: str
    verdict: Answer
    checks: tuple[Check, ...]
    base: Side | None = None
    onto: Side | None = None
    changes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    digest: str = ""
    layers: tuple[AssembledLayer, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `digest` names the rebased image (an index of several), empty when nothing was written.

    `read` are the layers that came from registries with their bytes, `read_bytes` the sum; `pushed_bytes` went to
    one; `size` is the bytes of all layers; `notes` are worth knowing; `place` is the layout or reference of the result.
    """

    verdict: Answer
    images: tuple[Rebased, ...]
    digest: str = ""
    place: str = ""
    size: int = 0
    read: dict[str, int] = {}
    read_bytes: int = 0
    pushed_bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks; of an index each with its platform."""
        if len(self.images) == 1:
            return self.images[0].checks
        return tuple(
            msgspec.structs.replace(check, id=f"{image.platform}:{check.id}")
            for image in self.images for check in image.checks
        )  # fmt: skip
