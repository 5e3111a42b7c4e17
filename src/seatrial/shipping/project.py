"""What is to be shipped: one image of a project, the service made of it, and what was asked for."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING

import msgspec

from seatrial.config import Config, Image, Service, Timeouts  # noqa: TC001 - msgspec reads the annotations
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asked for beside what seatrial.yaml says.

    `fix` applies safe fixes to the copy that is shipped, `write` also to the project's own files. `refresh`
    looks for newer packages and a newer base.
    """

    fix: bool = False
    write: bool = False
    refresh: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """One image and, where there is one, its service. Paths in them are relative to `directory`."""

    directory: Path
    name: str
    image: Image
    service: Service | None
    timeouts: Timeouts
    wanted: Wanted


def choose(directory: Path, config: Config, wanted: Wanted) -> Project:
    """Pick what to ship: what `ship` in seatrial.yaml names, else the only image and its only service.

    Raises:
        UsageError: there is nothing to ship, or several things and no choice.
    """
    image = config.ship.image or _only("image", config.images, directory)
    if image not in config.images:
        raise UsageError(f"ship.image names {image!r}, which is not under images", where=str(directory))
    fitting = {name: one for name, one in config.services.items() if one.image in (None, image)}
    service = config.ship.service or (_only("service", fitting, directory) if fitting else None)
    if service is not None and service not in config.services:
        raise UsageError(f"ship.service names {service!r}, which is not under services", where=str(directory))
    return Project(
        directory=directory,
        name=image,
        image=config.images[image],
        service=config.services[service] if service else None,
        timeouts=config.ship.timeouts,
        wanted=wanted,
    )


def _only(what: str, names: Iterable[str], directory: Path) -> str:
    found = sorted(names)
    if not found:
        raise UsageError(
            f"there is no {what} to ship",
            where=str(directory),
            why="seatrial.yaml has none, and there is no requirements file from which one could be made",
            fix=f"describe one under `{what}s:` in seatrial.yaml; `seatrial schema` says how",
        )
    if len(found) > 1:
        raise UsageError(
            f"there are {len(found)} {what}s: {', '.join(found)}",
            where=str(directory),
            fix=f"choose one: `ship: {{{what}: {found[0]}}}` in seatrial.yaml, or `--set ship.{what}={found[0]}`",
        )
    return found[0]
