"""Asks and source distributions for tests of solving."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from seatrial.images.solving.model import Ask

if TYPE_CHECKING:
    from pathlib import Path


def asks(*texts: str) -> tuple[Ask, ...]:
    """One ask per requirement; its id is the requirement as written."""
    from packaging.requirements import Requirement

    found = []
    for text in texts:
        one = Requirement(text)
        found.append(
            Ask(
                id=text,
                name=one.name,
                specifier=str(one.specifier),
                extras=tuple(sorted(one.extras)),
                marker=str(one.marker or ""),
                url=one.url or "",
            )
        )
    return tuple(found)


def sdist(
    house: Path,
    name: str,
    version: str = "1.0",
    *,
    metadata: str = "2.1",
    headers: str = "",
    files: dict[str, str] | None = None,
) -> Path:
    """A source distribution with a PKG-INFO of that Metadata-Version, more header lines, and other files."""
    house.mkdir(parents=True, exist_ok=True)
    info = f"Metadata-Version: {metadata}\nName: {name}\nVersion: {version}\n{headers}"
    path = house / f"{name.replace('-', '_')}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in {"PKG-INFO": info, **(files or {})}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path
