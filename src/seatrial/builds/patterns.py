"""Paths with `*` and `**` as artifacts, caches and reports have them, and what they find.

`*` stands for zero or more characters of one name, `**` for any number of folders; names that begin with a dot are names
like others. Everything else stands for itself: `[id].js` is the file of that name. Source: AWS CodeBuild user guide,
"Build specification reference", artifacts/files and artifacts/exclude-paths; nothing more is promised there.
"""

from __future__ import annotations

import os
import re
import stat
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.builds.view import View

_MOST = 500_000
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class Found(NamedTuple):
    """A file that a pattern found. `name` is relative to where the search began (`..` where the pattern climbed),
    `place` its path on this machine, without symbolic links except, where those are kept, the last. `link` is what
    such a link says, else empty.
    """

    name: str
    place: str
    link: str = ""


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Put variables (`$NAME`, `${NAME}`) into a path; one that is not set is empty, as in a shell."""
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), text)


def clean(pattern: str) -> str:
    """The pattern without `./`, doubled slashes and a slash at its end; a climbing `..` stays in front."""
    names: list[str] = []
    for name in pattern.split("/"):
        if name in ("", "."):
            continue
        if name == ".." and names and names[-1] != ".." and "*" not in names[-1]:
            names.pop()
        elif not (name == "**" and names and names[-1] == "**"):
            names.append(name)
    return ("/" if pattern.startswith("/") else "") + ("/".join(names) or ("" if pattern[:1] == "/" else "."))


def is_glob(pattern: str) -> bool:
    return "*" in pattern


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern means the file `name`; both are relative to the same folder."""
    return _compiled(clean(pattern)).fullmatch(name) is not None


def excludes(pattern: str, name: str) -> bool:
    """As `matches`; a pattern that ends in `/**/*` or `/**` also leaves out the file that it stands below.

    The user guide's way to leave out a file in all folders is `**/file-name/**/*`.
    """
    plain = clean(pattern)
    above = plain.removesuffix("/**/*").removesuffix("/**")
    return matches(plain, name) or (above != plain and matches(above, name))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    *folders, last = pattern.split("/")
    text = "".join("(?:[^/]+/)*" if name == "**" else f"{_of_name(name)}/" for name in folders)
    return re.compile(text + (".+" if last == "**" else _of_name(last)), re.DOTALL)


@lru_cache(maxsize=4096)
def _of_name(name: str) -> str:
    """One name of a pattern as a regular expression."""
    return "[^/]*".join(re.escape(part) for part in re.split(r"\*+", name))


def find(view: View, base: str, pattern: str, *, links: bool = False, folders: bool = False) -> list[Found]:
    """The files that the pattern finds below `base` (an absolute path as the build sees it), in the order of their names.

    Symbolic links are followed, also to folders, except where that would go in circles or to where the build's files
    do not reach; with `links` they are kept as what they are. With `folders` folders are found instead of files.

    Raises:
        OSError: a folder cannot be read.
        SeatrialError: there are more than half a million.
    """
    plain = clean(pattern)
    start, names = ("/", plain[1:]) if plain.startswith("/") else (base, plain)
    search = _Search(view, links=links, folders=folders)
    search.go(start, "/" if plain.startswith("/") else "", names.split("/") if names else [])
    return search.found


class _Search:
    def __init__(self, view: View, *, links: bool, folders: bool) -> None:
        self._view, self._links, self._folders = view, links, folders
        self._names: set[str] = set()
        self._been: set[tuple[str, int]] = set()
        self.found: list[Found] = []

    def go(self, folder: str, called: str, names: list[str]) -> None:
        """Follow the part of the pattern that has no asterisk, then search."""
        while names and not is_glob(names[0]) and (len(names) > 1 or names[0] in ("..", ".")):
            called, folder = f"{called}{names[0]}/", f"{folder}/{names[0]}"
            names = names[1:]
        resolved = self._view.resolve(folder)
        if resolved is None:
            return
        if names:
            self._search(resolved, called, names, (resolved,))
        elif self._folders:
            self._add(Found(called.rstrip("/") or ".", str(self._view.real(resolved))))

    def _search(self, folder: str, called: str, names: list[str], above: tuple[str, ...]) -> None:
        if (called, len(names)) in self._been:
            return
        self._been.add((called, len(names)))
        self._count(called, len(self._been))
        name, rest = names[0], names[1:]
        if name == "**" and not rest:
            name, rest = "*", []
            deeper = ["**"]
        elif name == "**":
            deeper, name, rest = names, rest[0], rest[1:]
        else:
            deeper = []
        wanted = re.compile(_of_name(name), re.DOTALL)
        for entry, path, mode in self._entries(folder, None if is_glob(name) or deeper else name):
            if wanted.fullmatch(entry):
                if rest:
                    self._enter(path, mode, f"{called}{entry}", rest, above)
                else:
                    self._take(path, mode, f"{called}{entry}")
            if deeper:
                self._enter(path, mode, f"{called}{entry}", deeper, above)

    def _entries(self, folder: str, only: str | None) -> Iterator[tuple[str, str, int]]:
        """Name, path as the build sees it, and kind of what is in the folder."""
        real = self._view.real(folder)
        if real is None:
            return
        if only is not None:
            names = [only]
        else:
            try:
                names = sorted(set(os.listdir(real)) | self._view.mounted(folder))  # noqa: PTH208 - names
            except (FileNotFoundError, NotADirectoryError):
                return
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            place = self._view.real(path)
            try:
                mode = 0 if place is None else os.lstat(place).st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went away while we looked, or was never there
            yield name, path, mode

    def _enter(self, path: str, mode: int, called: str, names: list[str], above: tuple[str, ...]) -> None:
        target = path
        if stat.S_ISLNK(mode):
            followed = None if self._links else self._view.resolve(path)
            place = None if followed is None else self._view.real(followed)
            if followed is None or followed in above or place is None or not place.is_dir():
                return
            target = followed
        elif not stat.S_ISDIR(mode):
            return
        self._search(target, f"{called}/", names, (*above, target))

    def _take(self, path: str, mode: int, called: str) -> None:
        place = self._view.real(path)
        if place is None:
            return
        if stat.S_ISLNK(mode) and self._links and not self._folders:
            self._add(Found(called, str(place), os.readlink(place)))  # noqa: PTH115 - exactly as it is written
            return
        if stat.S_ISLNK(mode):
            target = self._view.resolve(path)
            place = None if target is None else self._view.real(target)
            if place is None:
                return
            mode = place.lstat().st_mode
        if stat.S_ISDIR(mode) if self._folders else stat.S_ISREG(mode):
            self._add(Found(called, str(place)))

    def _add(self, found: Found) -> None:
        if found.name in self._names:
            return
        self._names.add(found.name)
        self.found.append(found)
        self._count(found.name, len(self.found))

    def _count(self, name: str, number: int) -> None:
        if number > _MOST:
            raise SeatrialError(
                f"a pattern finds more than {_MOST} files or folders",
                where=name,
                why="symbolic links between folders can make many of few",
                fix="name the folders that are meant, or set `enable-symlinks: yes`",
            )
