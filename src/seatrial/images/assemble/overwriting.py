"""Files of the base that an installed package replaces, although they belong to no other version of it.

pip does so without a word. A package that replaces the interpreter or its standard library is refused: it would run
in every Python program of the image. For any other file there is a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.assemble.replacing import replaced
from seatrial.images.base_tree import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.images.lock import LockedWheel
    from seatrial.images.probe import Probed


def over_base(
    probed: Probed, wheels: Sequence[LockedWheel], layers: Iterable[tuple[str, Iterable[str]]]
) -> list[str]:
    """What is worth knowing about the paths of new layers, given with what is in each of them.

    Raises:
        SeatrialError: one of them is the base's Python.
    """
    tree, interpreter = probed.tree, probed.interpreter
    gone = replaced(tree, interpreter.scheme, wheels).removed
    folders = tuple(path + "/" for path in gone)
    programs = {interpreter.executable, resolve(tree, interpreter.executable)}
    library = interpreter.scheme.purelib.rpartition("/")[0] + "/"
    notes = []
    for what, paths in layers:
        known = {p for p in paths if p in tree.files or p in tree.links or p in programs}
        known = {p for p in known if p not in gone and not p.startswith(folders) and "/__pycache__/" not in p}
        for path in sorted(known):
            if path in programs or (path.startswith(library) and "-packages/" not in path):
                raise SeatrialError(
                    f"{what} would replace the base's Python", where=path,
                    why="a package of that kind runs in every Python program of the image",
                    fix="leave the package out, or choose a base that has it already",
                )  # fmt: skip
        if known:
            first, more = min(known), f" and {len(known) - 1} more" if len(known) > 1 else ""
            notes.append(f"{what} replaces {first}{more} of the base, which no package that it replaces has")
    return notes
