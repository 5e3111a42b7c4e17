"""What installing a folder brings: the dependencies that its project files state. Nothing of it is ever run."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from seatrial.images.story import pyproject, setup_files
from seatrial.images.story.requirement_files import Gathered

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.story.pyproject import Reader, Wanted
    from seatrial.sources.text import Source


def project(
    folder: str, wanted: Wanted, read: Callable[[str], Source | None], reader: Reader = "pip"
) -> tuple[Gathered, str]:
    """The dependencies of the project in a folder, and its name; empty where the files do not say it."""
    path = posixpath.join(folder, "pyproject.toml")
    source = read(path)
    loaded = pyproject.load(source) if source is not None else None
    if source is not None and loaded is None:
        return Gathered(files=(source,), unread=(f"{source.path} is not TOML",)), ""
    found = Gathered()
    name = ""
    if loaded is not None:
        found, name = pyproject.dependencies(loaded, wanted, reader, read, path), loaded.name
        if loaded.static or found.requests or not wanted.project:
            return found, name
    older = _setup(folder, wanted, read)
    if older is not None:
        return found + older, name
    if loaded is None:
        return Gathered(unread=(f"{path} is not among the files",)), ""
    return found, name


def _setup(folder: str, wanted: Wanted, read: Callable[[str], Source | None]) -> Gathered | None:
    """setup.cfg where it states the dependencies, else setup.py; None when there is neither."""
    config = read(posixpath.join(folder, "setup.cfg"))
    stated = setup_files.from_cfg(config, wanted.extras) if config is not None else None
    if stated is not None:
        return stated
    script = read(posixpath.join(folder, "setup.py"))
    return setup_files.from_py(script, wanted.extras) if script is not None else None
