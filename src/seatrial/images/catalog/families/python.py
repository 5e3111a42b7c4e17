"""python: `3.11-slim-bookworm`, `3.12.4-alpine3.20`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image
    from seatrial.images.catalog.model import Moving

_TAG = re.compile(
    r"(?P<version>\d+(?:\.\d+){0,2})?(?P<early>(?:a|b|rc)\d+|-rc)?-?(?P<slim>slim)?-?(?P<suite>[a-z]+(?:\d+\.\d+)?)?"
)
_NOT_LINUX = ("windowsservercore", "nanoserver", "onbuild")


def read(image: Image) -> Contents | None:
    """What a tag holds; None where it is written in no way that is known."""
    match = _TAG.fullmatch(image.tag)
    if match is None or image.tag.startswith(_NOT_LINUX) or _NOT_LINUX[0] in image.tag:
        return None
    version, suite = match["version"] or "", match["suite"] or ""
    if suite and suite != "latest" and systems.in_tag(suite) is None:
        return None
    parts = version.split(".") if version else []
    system = systems.in_tag(suite) if suite and suite != "latest" else _default(parts)
    sources = tables.load("python")["sources"]
    return Contents(
        **image.common,
        **(systems.facts(system) | {"externally_managed": False}),
        python=".".join(parts[:2]) if len(parts) > 1 else None,
        interpreter="image",
        accelerator="cpu",
        cuda="",
        cuda_toolkit=False,
        cudnn="",
        nccl="",
        bare=True,
        conda=False,
        constraint_file="",
        moving=_moving(parts, early=match["early"] or ""),
        sources=(sources["tags"], sources["history"]),
    )


def _moving(parts: list[str], *, early: str) -> Moving:
    if len(parts) < 2 or early == "-rc":  # noqa: PLR2004 - 3 and latest go on to the next minor version
        return "rolling"
    return "patch" if len(parts) == 2 else ""  # noqa: PLR2004


def _default(parts: list[str]) -> str | None:
    """The release of a tag that names none."""
    if len(parts) < 2:  # noqa: PLR2004
        return None
    found = None
    for first, release in _releases().get(".".join(parts[:2]), ()):
        if len(parts) == 2 or int(parts[2]) >= first:  # noqa: PLR2004
            found = release
    return systems.in_tag(found) if found else None


@cache
def _releases() -> dict[str, tuple[tuple[int, str], ...]]:
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    for minor, patch, release, _ in tables.columns(tables.load("python")["debian"], 3):
        found[minor] = (*found.get(minor, ()), (int(patch), release))
    return found
