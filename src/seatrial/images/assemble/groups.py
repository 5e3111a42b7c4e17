"""Which wheels share a layer, and which distributions of the base go."""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.assemble.install import Scheme
    from seatrial.images.base_tree import Tree
    from seatrial.images.lock import LockedWheel

MAX_LAYERS = 100
"""Overlay file systems take about 128 lower folders; registries and engines agree on less."""
_LARGE = 8 << 20
_BUCKETS = 8


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """Distributions of the base: `kept` are those the lock wants in the very same version, `removed` paths go."""

    kept: frozenset[str]
    removed: tuple[str, ...]
    notes: tuple[str, ...]


def group(wheels: Sequence[LockedWheel], room: int) -> list[tuple[LockedWheel, ...]]:
    """One group per large wheel, at most `room` groups in all; small ones by a hash of their name.

    The group of a small wheel depends on its own name alone, so another pin changes one layer.

    Raises:
        SeatrialError: there is no room for a single layer.
    """
    if not wheels:
        return []
    if room < 1:
        raise SeatrialError(
            "the base has too many layers to add any", fix=f"choose a base with fewer than {MAX_LAYERS}"
        )
    large = sorted((w for w in wheels if is_large(w)), key=lambda w: (-w.size, w.name))
    large = large[: room - _buckets(room)]
    alone = {w.name for w in large}
    small: dict[int, list[LockedWheel]] = {}
    for wheel in wheels:
        if wheel.name not in alone:
            small.setdefault(shared(wheel.name, room)[0], []).append(wheel)
    return [(w,) for w in sorted(large, key=lambda w: w.name)] + [tuple(small[n]) for n in sorted(small)]


def is_large(wheel: LockedWheel) -> bool:
    """Whether a wheel gets a layer of its own where there is room."""
    return wheel.size >= _LARGE


def shared(name: str, room: int) -> tuple[int, int]:
    """Which shared layer takes a small wheel, counted from 1, and how many there are."""
    buckets = _buckets(room)
    return hashlib.sha256(name.encode()).digest()[0] % buckets + 1, buckets


def _buckets(room: int) -> int:
    return min(_BUCKETS, max(1, room // 2))


def describe(wheels: Sequence[LockedWheel]) -> str:
    """`numpy 2.4.6`, or `3 packages: a, b, c`."""
    if len(wheels) == 1:
        return f"{wheels[0].name} {wheels[0].version}"
    return f"{len(wheels)} packages: {', '.join(w.name for w in wheels)}"


def replaced(tree: Tree, scheme: Scheme, wheels: Sequence[LockedWheel]) -> Replaced:
    """Compare the lock with what the base has where packages are installed.

    Raises:
        SeatrialError: a distribution of the base must go, but nothing says which files it has.
    """
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    wanted = {wheel.name: wheel for wheel in wheels}
    kept, removed, notes = set(), [], []
    libraries = {scheme.purelib, scheme.platlib}
    for record in sorted(p for p in tree.texts if p.endswith(".dist-info/RECORD")):
        info, library = posixpath.dirname(record), posixpath.dirname(posixpath.dirname(record))
        raw, _, version = posixpath.basename(info).removesuffix(".dist-info").rpartition("-")
        wheel = wanted.get(canonicalize_name(raw))
        if library not in libraries or wheel is None:
            continue
        try:
            same = Version(version) == Version(wheel.version)
        except InvalidVersion:
            same = version == wheel.version
        if same:
            kept.add(wheel.name)
            notes.append(f"{wheel.name} {version} is in the base already and stays")
        else:
            removed += [*_recorded_files(tree.texts[record], library, scheme), info]
            notes.append(f"{wheel.name} {version} of the base is replaced by {wheel.version}")
    for egg in sorted(tree.eggs):
        name = re.split(r"-\d", posixpath.basename(egg).removesuffix(".egg-info"))[0]
        if posixpath.dirname(egg) in libraries and canonicalize_name(name) in wanted:
            raise SeatrialError(
                f"the base has {name}, and nothing says which files belong to it", where=egg,
                why="it was installed without a RECORD", fix=f"remove {name} from the requirements, or choose another base",
            )  # fmt: skip
    return Replaced(kept=frozenset(kept), removed=tuple(sorted(set(removed))), notes=tuple(notes))


def _recorded_files(record: bytes, library: str, scheme: Scheme) -> list[str]:
    """Absolute paths of a RECORD; those outside of the installation folders are left alone."""
    allowed = tuple(f.rstrip("/") + "/" for f in (library, scheme.scripts, scheme.headers, scheme.data))
    rows = csv.reader(io.StringIO(record.decode("utf-8", "replace")))
    paths = [posixpath.normpath(posixpath.join(library, row[0])) for row in rows if row and row[0]]
    return [path for path in paths if path.startswith(allowed)]
