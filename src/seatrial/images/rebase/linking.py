"""What the dynamic loader would find: the same answers for the old stack and for the new one, then compared.

Source: ld.so(8). A gap or a missing symbol version that was there before is no reason against rebasing.
"""

from __future__ import annotations

import posixpath
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rebase.tree import find, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.rebase.scan import Entry
    from seatrial.images.rebase.tree import Tree
    from seatrial.images.testing.elf import Elf

_DEFAULT = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = {
    "amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf", "386": "i386-linux-gnu",
}  # fmt: skip
# The parts of glibc before 2.34 and since. Source: its NEWS.
_GLIBC = ("libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libresolv.so.", "ld-linux")


class Problem(NamedTuple):
    """`library` (or the symbol version of it) that the object at `path` needs and would not find any more."""

    path: str
    library: str
    version: str


class Stack(NamedTuple):
    """A whole tree, the number of its first layer that is not the base's, and what its container sets."""

    tree: Tree
    first: int
    folders: tuple[str, ...]

    def own(self, path: str) -> bool:
        return self.tree.nodes[path].layer >= self.first


def stack(tree: Tree, first: int, environment: dict[str, str], architecture: str) -> Stack:
    """`environment` is the container's, `architecture` as images name it."""
    folders = [p for p in environment.get("LD_LIBRARY_PATH", "").split(":") if p]
    folders += _configured(tree, "/etc/ld.so.conf", 0)
    name = _MULTIARCH.get(architecture)
    for default in _DEFAULT:
        folders += [f"{default}/{name}", default] if name else [default]
    return Stack(tree, first, tuple(dict.fromkeys(folders)))


def problems(old: Stack, new: Stack) -> list[Problem]:
    """What worked in the old stack and would not in the new: for the image's objects, and where its libraries are
    taken by the base's own objects.
    """
    found = []
    known: dict[tuple[int, str, str], str | None] = {}
    for path, node in new.tree.nodes.items():
        if node.entry.elf is None or node.entry.kind != "f":
            continue
        if new.own(path):
            mine = old.tree.nodes.get(path)
            if mine is not None and mine.entry.value == node.entry.value:
                found += list(_worse(old, new, path, node.entry.elf, known))
        else:
            found += list(_clashes(new, path, node.entry.elf, known))
    return sorted(set(found))


def _worse(
    old: Stack, new: Stack, path: str, needs: Elf, known: dict[tuple[int, str, str], str | None]
) -> Iterator[Problem]:
    if needs.interpreter and find(old.tree, needs.interpreter) and not find(new.tree, needs.interpreter):
        yield Problem(path, needs.interpreter, "")
    wanted: dict[str, list[str]] = {library: [] for library in needs.needed}
    for library, version in needs.wanted:
        wanted.setdefault(library, []).append(version)
    for library, versions in wanted.items():
        before = locate(old, path, needs, library, known)
        if before is None:
            continue  # it came from nowhere before either: the driver's, or loaded by hand
        after = locate(new, path, needs, library, known)
        if after is None:
            yield Problem(path, library, "")
            continue
        offered_before, offered = _offered(old, before), _offered(new, after)
        for version in versions:
            if version in offered_before and version not in offered:
                yield Problem(path, library, version)


def _clashes(
    new: Stack, path: str, needs: Elf, known: dict[tuple[int, str, str], str | None]
) -> Iterator[Problem]:
    """A program of the new base that would be given a library of the image that is too old for it."""
    for library, version in needs.wanted:
        place = locate(new, path, needs, library, known)
        if place is not None and new.own(place) and version not in _offered(new, place):
            yield Problem(path, library, version)


def locate(
    one: Stack, path: str, needs: Elf, library: str, known: dict[tuple[int, str, str], str | None]
) -> str | None:
    """Where the loader finds a library for the object at `path`."""
    own = posixpath.dirname(path)
    if "/" in library:
        return resolve(one.tree, _expanded(library, own)[0])
    search = needs.runpath or needs.rpath
    key = (id(one), f"{own}:{search}" if search else "", f"{needs.width} {needs.machine} {library}")
    if key not in known:
        folders = (*_expanded(search, own), *one.folders)
        known[key] = next(
            (place for folder in folders if (place := _fits(one.tree, f"{folder}/{library}", needs))), None
        )
    return known[key]


def _fits(tree: Tree, path: str, needs: Elf) -> str | None:
    """The loader passes over libraries for another processor."""
    place = resolve(tree, path)
    if place is None or place == "/":
        return None
    found = tree.nodes[place].entry.elf
    fits = found is None or (found.machine, found.width) == (needs.machine, needs.width)
    return place if fits and tree.nodes[place].entry.kind == "f" else None


def _offered(one: Stack, place: str) -> tuple[str, ...]:
    entry: Entry = one.tree.nodes[place].entry
    return entry.elf.offered if entry.elf else ()


def is_glibc(library: str) -> bool:
    return library.rpartition("/")[2].startswith(_GLIBC)


def is_cxx(library: str) -> bool:
    return library.startswith(("libstdc++.", "libgcc_s."))


def _expanded(paths: str, origin: str) -> list[str]:
    return [p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in paths.split(":") if p]


def _configured(tree: Tree, path: str, depth: int) -> list[str]:
    place = resolve(tree, path)
    if place is None or depth > 4:  # noqa: PLR2004 - includes are one deep in practice
        return []
    folders = []
    for line in tree.texts.get(place, b"").decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                folder = resolve(tree, posixpath.dirname(pattern), posixpath.dirname(place)) or "/"
                names = [p for p in tree.texts if posixpath.dirname(p) == folder and fnmatch(p, pattern)]
                folders += [f for name in sorted(names) for f in _configured(tree, name, depth + 1)]
        elif words:
            folders.append(words[0])
    return folders
