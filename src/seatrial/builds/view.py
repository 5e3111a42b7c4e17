"""The files of a build as the build itself sees them, whose folders may lie elsewhere on this machine.

A build in an image has its workspace and its root somewhere below a folder of ours. A symbolic link in there means a
path of the image, never one of this machine: whoever follows links by hand reads what the build could not.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST_LINKS = 40  # as Linux has it


class View:
    """`mounts` maps absolute paths as the build sees them to folders of this machine; what is in none is not there.

    A build on this machine itself sees `{"/": Path("/")}`.
    """

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        self._mounts = {"/" + path.strip("/"): folder.resolve() for path, folder in mounts.items()}
        self._prefixes = sorted(self._mounts, key=len, reverse=True)

    def real(self, path: str) -> Path | None:
        """Where an absolute path lies on this machine, links not followed; None when in no mount."""
        for prefix in self._prefixes:
            if path == prefix:
                return self._mounts[prefix]
            if prefix == "/" or path.startswith(f"{prefix}/"):
                return self._mounts[prefix] / path[len(prefix) :].lstrip("/")
        return None

    def mounted(self, folder: str) -> set[str]:
        """Names in the folder that are mounts."""
        return {
            name
            for parent, _, name in (prefix.rpartition("/") for prefix in self._prefixes)
            if name and (parent or "/") == folder
        }

    def resolve(self, path: str) -> str | None:
        """The path with its symbolic links followed as the build would; None when it ends nowhere, or out of sight."""
        left, here, links = deque(path.split("/")), "/", 0
        while left:
            name = left.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                here = os.path.dirname(here)  # noqa: PTH120 - strings
                continue
            ahead = f"{here.rstrip('/')}/{name}"
            kind = self._kind(ahead)
            if kind is None:
                return None
            if not stat.S_ISLNK(kind):
                here = ahead
                continue
            links += 1
            place = self.real(ahead)
            if links > _MOST_LINKS or place is None:
                return None
            target = str(place.readlink())
            left.extendleft(reversed(target.split("/")))
            here = "/" if target.startswith("/") else here
        return here

    def _kind(self, path: str) -> int | None:
        place = self.real(path)
        if place is not None:
            try:
                return os.lstat(place).st_mode
            except (FileNotFoundError, NotADirectoryError):
                pass
        # A folder above a mount is there, whether or not anybody made it.
        return stat.S_IFDIR if any(prefix.startswith(f"{path}/") for prefix in self._prefixes) else None


def below(folder: Path, path: str = "") -> View:
    """The view of a build that sees nothing but its workspace, by default at the path it has here."""
    return View({path or str(folder.resolve()): folder})
