"""What is in a cache's archive: the files that the paths name, and where they go when they come back."""

from __future__ import annotations

import os
import tarfile
from typing import IO, TYPE_CHECKING

from seatrial.builds.packing import Gone, open_found
from seatrial.builds.patterns import Found, find, is_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.builds.view import View


def pack(view: View, seen: str, patterns: Sequence[str], out: IO[bytes]) -> int:
    """Write a tar of the files that the paths name; members are called as the build sees them, without the first slash."""
    number = 0
    inside = f"{seen}/"
    done: set[str] = set()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for pattern in patterns:
            for found in find(view, seen, pattern, links=True):
                # The workspace is elsewhere in every build.
                name = found.name
                name = f"s/{name[len(inside) :]}" if name.startswith(inside) else f"a{name}"
                if name not in done and _add(archive, name, found):
                    done.add(name)
                    number += 1
    return number


def _add(archive: tarfile.TarFile, name: str, found: Found) -> bool:
    info = tarfile.TarInfo(name)
    try:
        if found.link:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, found.link, 0o777
            archive.addfile(info)
            return True
        with open_found(found) as stream:
            status = os.fstat(stream.fileno())
            info.size, info.mode, info.mtime = status.st_size, status.st_mode & 0o777, status.st_mtime
            archive.addfile(info, stream)
    except Gone:
        return False
    return True


def places(view: View, seen: str, patterns: Sequence[str]) -> Callable[[str], tuple[Path, str] | None]:
    """Where members go: below what the paths of this build name, and nowhere else, whatever an archive says."""
    tops = [(base, *_anchor(view, base)) for base in map(_literal, patterns)]

    def place(name: str) -> tuple[Path, str] | None:
        first, _, rest = name.partition("/")
        path = {"s": f"{seen}/{rest}", "a": f"/{rest}"}.get(first)
        for base, top, between in tops:
            if (
                path is not None
                and top is not None
                and (path == base or path.startswith(f"{base.rstrip('/')}/"))
            ):
                return top, "/".join(filter(None, (between, path[len(base) :].strip("/"))))
        return None

    return place


def _literal(pattern: str) -> str:
    """The folders of a pattern before its first asterisk."""
    names = pattern.split("/")
    first = next((number for number, name in enumerate(names) if is_glob(name)), len(names))
    return "/".join(names[:first]) or "/"


def _anchor(view: View, path: str) -> tuple[Path | None, str]:
    """The deepest folder of a path that is there, links followed as the build would, and what is to be made below it."""
    there = path
    missing: list[str] = []
    while there != "/" and view.resolve(there) is None:
        there, _, name = there.rpartition("/")
        there = there or "/"
        missing.insert(0, name)
    resolved = view.resolve(there)
    place = None if resolved is None else view.real(resolved)
    if place is not None and place.is_file():
        place, missing = place.parent, [place.name]
    return place, "/".join(missing)
