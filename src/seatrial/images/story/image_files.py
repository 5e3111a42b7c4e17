"""Which files of the context an image has, and where: what COPY, ADD, mounts and here-documents bring."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.sources.text import Source


class Brought(msgspec.Struct, frozen=True):
    """`origin`, a file, a folder or a pattern, is at `destination`, or in it. `read` gives a file of the origin."""

    origin: str
    destination: str
    read: Callable[[str], Source | None]
    parents: bool = False


class Written(msgspec.Struct, frozen=True):
    """A file that a command made; `content` gives None where its content is not known."""

    path: str
    content: Callable[[], Source | None]


_MOST = 5000
"""Places that are looked at for one file. Every copy of everything to `/` doubles them, so there must be an end."""


class Effort:
    """How much was looked at for the file that is being sought, in all the stages that it may come from."""

    def __init__(self) -> None:
        self.depth = 0
        self.spent = 0

    def __enter__(self) -> None:
        self.spent = self.spent if self.depth else 0
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1

    def more(self) -> bool:
        """Whether to look at one more place."""
        self.spent += 1
        return self.spent <= _MOST


class ImageFiles:
    """The files of a stage as far as they are known; the last that was brought to a place counts."""

    def __init__(
        self,
        known: Sequence[Brought | Written] = (),
        *,
        placed: bool = False,
        effort: Effort | None = None,
    ) -> None:
        self.known: list[Brought | Written] = list(known)
        self.placed = placed
        """Whether it is known where relative paths start; a base image may have a WORKDIR of its own."""
        self.effort = effort or Effort()

    def copy(self) -> ImageFiles:
        """The same files, for a stage that goes on from here."""
        return ImageFiles(self.known, placed=self.placed, effort=self.effort)

    def bring(
        self,
        origin: str,
        destination: str,
        read: Callable[[str], Source | None],
        *,
        parents: bool = False,
    ) -> None:
        """Note that a file or folder is now at, or in, an absolute path."""
        self.known.append(Brought(_plain(origin), posixpath.normpath(destination), read, parents))

    def write(self, path: str, content: Callable[[], Source | None]) -> None:
        """Note that a command made a file; what is in it is made out when somebody reads it."""
        self.known.append(Written(posixpath.normpath(path), functools.cache(content)))

    def read(self, path: str) -> Source | None:
        """A file by its absolute path in the image; None when it is not known.

        Where relative paths start in the base image's own folder, `/` stands for it: then the one file that was brought
        to any folder under that path is meant.
        """
        with self.effort:
            return self._found(posixpath.normpath(path))

    def _found(self, path: str) -> Source | None:
        found = self._read(path)
        if found is not None or self.placed:
            return found
        folders = {one.destination for one in self.known if isinstance(one, Brought)} - {"/"}
        others = {one.path: one for folder in folders if (one := self._read(f"{folder}{path}")) is not None}
        return next(iter(others.values())) if len(others) == 1 else None

    def _read(self, path: str) -> Source | None:
        for one in reversed(self.known):
            if isinstance(one, Written):
                if one.path == path:
                    return _content(one)
                continue
            for candidate in _candidates(one, path):
                found = one.read(candidate) if self.effort.more() else None
                if found is not None:
                    return found
        return None


def _content(one: Written) -> Source | None:
    try:
        return one.content()
    except RecursionError:  # hundreds of lines, each appended to the file before it
        return None


def _plain(path: str) -> str:
    plain = posixpath.normpath(path.lstrip("/") or ".")
    return "" if plain == "." else plain


def _candidates(one: Brought, path: str) -> list[str]:
    """The files of the origin that may be at `path`: a file under a new name, a file in a folder, or a folder's content."""
    prefix = one.destination.rstrip("/") + "/"
    if path == one.destination:
        return [one.origin] if one.origin and not _is_pattern(one.origin) else []
    if not path.startswith(prefix):
        return []
    rest = path[len(prefix) :]
    if one.parents:
        inside = rest == one.origin or rest.startswith(f"{one.origin}/") or not one.origin
        return [rest] if inside or fnmatch.fnmatch(rest, one.origin) else []
    if _is_pattern(one.origin):
        return _matching(one.origin, rest)
    found = [posixpath.join(one.origin, rest)]
    if posixpath.basename(one.origin) == rest:
        found.append(one.origin)
    return found


def _is_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


def _matching(pattern: str, rest: str) -> list[str]:
    """A pattern's matches: files by their name, and what is in a folder that matches."""
    folder, last = posixpath.split(pattern)
    if _is_pattern(folder):
        return []
    found = [posixpath.join(folder, rest)] if "/" not in rest and fnmatch.fnmatch(rest, last) else []
    return found + ([posixpath.join(folder, rest)] if last == "*" and not found else [])
