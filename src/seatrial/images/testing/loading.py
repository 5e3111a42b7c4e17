"""Where the dynamic loader looks for a library, and what it finds there: ld.so(8), without running it.

RPATH, LD_LIBRARY_PATH, RUNPATH, the configured folders, the default folders. What an object finds is loaded, too,
so its needs count as well.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rootfs import Root, locate
from seatrial.images.testing import elf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEFAULT = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "386": "i386-linux-gnu",
}


class Gap(NamedTuple):
    """What the object at `path` needs: `library`, which is nowhere on its way, or `version` of the one `found`."""

    path: str
    library: str
    version: str = ""
    found: str = ""


class Found(NamedTuple):
    """A library on the loader's way: the path it was found by, where it really lies, and its headers."""

    place: str
    real: str
    header: elf.Elf


def gaps(root: Root, objects: Mapping[str, elf.Elf], folders: list[str]) -> Iterator[Gap]:
    """What objects (path without leading slash → headers) need and do not find, with all that they load."""
    known: dict[tuple[str, str], Found | None] = {}
    todo = deque((path, f"/{path}", header) for path, header in objects.items())
    seen = set(objects)
    while todo:
        path, place, header = todo.popleft()
        origins = dict.fromkeys((place.rpartition("/")[0], f"/{path}".rpartition("/")[0]))
        own = [f for origin in origins for f in expanded(header.runpath or header.rpath, origin)]
        for library in header.needed:
            found = _find(root, known, library, [*own, *folders], header)
            if found is None:
                yield Gap(path, library)
                continue
            offered = found.header.offered
            wanted = [version for name, version in header.wanted if name == library]
            lacking = next((version for version in wanted if version not in offered), "") if offered else ""
            if lacking:
                yield Gap(path, library, lacking, found.real)
            if found.real.lstrip("/") not in seen:
                seen.add(found.real.lstrip("/"))
                todo.append((found.real.lstrip("/"), found.place, found.header))


def _find(
    root: Root,
    known: dict[tuple[str, str], Found | None],
    library: str,
    folders: list[str],
    header: elf.Elf,
) -> Found | None:
    """The first file of that name for the same processor: the loader goes past others."""
    if "/" in library:
        folder, _, library = library.rpartition("/")
        folders = [expanded(folder, folders[0] if folders else "/")[0]]
    for folder in folders:
        key = (folder, library)
        if key not in known:
            known[key] = _at(root, folder, library)
        found = known[key]
        if found is not None and (found.header.machine, found.header.width) == (header.machine, header.width):
            return found
    return None


def _at(root: Root, folder: str, library: str) -> Found | None:
    real, file = locate(root, f"{folder}/{library}")
    header = elf.read(file) if file is not None and file.is_file() else None
    return Found(f"{folder}/{library}", real, header) if header is not None else None


def expanded(paths: str, origin: str) -> list[str]:
    """A colon-separated search path as folders, `$ORIGIN` being the object's own."""
    return [p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in paths.split(":") if p]


def named_folders(root: Root) -> list[str]:
    """The folders of the image's LD_LIBRARY_PATH."""
    variables = dict(str(item).partition("=")[::2] for item in root.settings.get("Env") or [])
    return [p for p in variables.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if p]


def search_folders(root: Root, architecture: str) -> list[str]:
    """Where the loader looks besides the object's own paths."""
    folders = [*named_folders(root), *_configured(root, "/etc/ld.so.conf", 0)]
    name = _MULTIARCH.get(architecture)
    for default in _DEFAULT:
        folders += [f"{default}/{name}"] if name else []
        folders.append(default)
    return list(dict.fromkeys(folders))


def _configured(root: Root, path: str, depth: int) -> list[str]:
    _, file = locate(root, path)
    if file is None or not file.is_file() or depth > 4:  # noqa: PLR2004 - ld.so.conf includes are one deep
        return []
    folders = []
    for line in file.read_text(errors="replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                folders += _included(root, pattern, depth)
        elif words:
            folders.append(words[0])
    return folders


def _included(root: Root, pattern: str, depth: int) -> list[str]:
    from fnmatch import fnmatch

    folder, _, name = pattern.rpartition("/")
    names: set[str] = set()
    resolved = locate(root, folder)[0]
    for layer in root.layers:
        place = root.folder(layer) / resolved.lstrip("/")
        if place.is_dir():
            names.update(p.name for p in place.iterdir() if fnmatch(p.name, name))
    return [f for n in sorted(names) for f in _configured(root, f"{resolved}/{n}", depth + 1)]
