"""What of the base goes when the image gets another version of a package, and what stays.

As pip uninstalls: every file that the package says it has, the bytecode of its modules, and folders in which
nothing else is left. An empty folder that stays could be imported, and bytecode that stays could be run instead
of the new module: with fixed file times, Python cannot tell that it is old.
Source: pip's `req_uninstall.py`; packaging.python.org, "Recording installed projects".
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import parents, scheme_folders, scheme_roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from seatrial.images.assemble.install import Scheme
    from seatrial.images.base_tree import Tree
    from seatrial.images.lock import LockedWheel


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """Distributions of the base: `kept` are those the lock wants in the very same version, `removed` paths go."""

    kept: frozenset[str]
    removed: tuple[str, ...]
    notes: tuple[str, ...]


class _Known(NamedTuple):
    """A distribution of the base: where its metadata is, and its files, or None when nothing says which."""

    name: str
    version: str
    info: str
    files: list[str] | None


def replaced(tree: Tree, scheme: Scheme, wheels: Sequence[LockedWheel]) -> Replaced:
    """Compare the lock with what the base has where packages are installed.

    Raises:
        SeatrialError: a distribution of the base must go, but nothing says which files it has.
    """
    wanted = {wheel.name: wheel for wheel in wheels}
    there: dict[str, list[_Known]] = {}
    for known in _distributions(tree, scheme):
        if known.name in wanted:
            there.setdefault(known.name, []).append(known)
    kept, notes = set(), []
    removed: set[str] = set()
    for name, found in sorted(there.items()):
        versions = ", ".join(known.version for known in found)
        if len(found) == 1 and _same(found[0].version, wanted[name].version):
            kept.add(name)
            notes.append(f"{name} {versions} is in the base already and stays")
            continue
        for known in found:
            removed |= _removed(known, tree)
        notes.append(f"{name} {versions} of the base is replaced by {wanted[name].version}")
    return Replaced(
        kept=frozenset(kept), removed=tuple(_compressed(removed, tree, scheme)), notes=tuple(notes)
    )


def _distributions(tree: Tree, scheme: Scheme) -> Iterator[_Known]:
    """What is installed in the folders that wheels go to, in the order of its paths."""
    from packaging.utils import canonicalize_name

    libraries = {scheme.purelib, scheme.platlib}
    infos = {
        posixpath.dirname(p) for p in tree.files if p.endswith((".dist-info/METADATA", ".dist-info/RECORD"))
    }
    for info in sorted(infos | tree.eggs):
        library, stem = posixpath.dirname(info), posixpath.splitext(posixpath.basename(info))[0]
        if library not in libraries:
            continue
        if info.endswith(".dist-info"):
            raw, _, version = stem.rpartition("-")
            listed = tree.texts.get(f"{info}/RECORD")
            files = None if listed is None else [row[0] for row in _rows(listed) if row and row[0]]
            base = library
        else:
            raw, _, version = re.sub(r"-py\d.*", "", stem).partition("-")
            listed = tree.texts.get(f"{info}/installed-files.txt")
            files, base = None if listed is None else listed.decode("utf-8", "replace").split("\n"), info
        places = None if files is None else _inside(files, base, scheme)
        yield _Known(canonicalize_name(raw), version, info, places)


def _rows(record: bytes) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(record.decode("utf-8", "replace"), newline=""))


def _inside(files: Iterable[str], base: str, scheme: Scheme) -> list[str]:
    """Absolute paths; those outside of the installation folders are left alone."""
    allowed = tuple(folder.rstrip("/") + "/" for folder in scheme_roots(scheme))
    paths = [posixpath.normpath(posixpath.join(base, file)) for file in files if file.strip()]
    return [path for path in paths if path.startswith(allowed) and path != scheme.shebang]


def _same(version: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) == Version(other)
    except InvalidVersion:
        return version == other


def _removed(known: _Known, tree: Tree) -> set[str]:
    if known.files is None:
        raise SeatrialError(
            f"the base has {known.name} {known.version}, and nothing says which files belong to it", where=known.info,
            why="it was installed without a RECORD",
            fix=f"require {known.name}=={known.version}, remove it from the requirements, or choose another base",
        )  # fmt: skip
    found = {path for path in known.files if path in tree.files or path in tree.links}
    found |= {path for path in tree.files if path.startswith(known.info + "/") or path == known.info}
    modules = {path[:-3] for path in found if path.endswith(".py")}
    return found | {path for path in tree.files if path.endswith(".pyc") and _module(path) in modules}


def _module(bytecode: str) -> str:
    """`/a/__pycache__/b.cpython-311.opt-1.pyc` → `/a/b`."""
    folder, name = posixpath.split(bytecode)
    return f"{folder.removesuffix('/__pycache__')}/{name.partition('.')[0]}"


def _compressed(removed: set[str], tree: Tree, scheme: Scheme) -> list[str]:
    """The paths, with a folder in place of all its files where nothing else is in it."""
    if not removed:
        return []
    kept = scheme_folders(scheme)
    for path in (p for names in (tree.files, tree.links) for p in names if p not in removed):
        while (path := posixpath.dirname(path)) not in kept and path != "/":
            kept.add(path)
    whole = {posixpath.dirname(path) for path in removed} - kept
    return sorted(path for path in whole | removed if not any(folder in whole for folder in parents(path)))
