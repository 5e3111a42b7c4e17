"""Conda's environment.yml, where everything beside Python itself is left to pip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.inputs.asked import Asked
from seatrial.images.inputs.environment import allows
from seatrial.images.inputs.requirement_files import draft_name, read_files, read_lines
from seatrial.images.story import conda_files
from seatrial.sources import text, yaml
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.inputs.making import Means
    from seatrial.images.inputs.requirement_files import Place
    from seatrial.images.story.model import Request
    from seatrial.sources.tree import Node

_PIP = frozenset({"pip"})


def read_environment(path: Path, place: Place, means: Means) -> Asked:
    """What the pip list of an environment file asks for.

    Raises:
        SourceError: it is not YAML.
        SeatrialError: conda is to install packages, or another Python than the base's.
    """
    source = text.read(path, str(path))
    root = yaml.read(source).root
    loaded = conda_files.load(source, lambda _path: None, str(path))
    if loaded is None or loaded.conda.unread:
        why = loaded.conda.unread[0] if loaded else "it has no list of `dependencies`"
        raise SeatrialError("this is no environment file of conda", where=str(path), why=why)
    for one in loaded.conda.requests:
        if one.conda == "python":
            _check_python(one, means)
    others = [one for one in loaded.conda.requests if one.conda != "python" and one.conda not in _PIP]
    if others:
        raise _not_pip(others)
    return _pip_lines(source, root, path, place)


def _check_python(one: Request, means: Means) -> None:
    if one.specifier and not allows(one.specifier, means.target, means.python):
        raise SeatrialError(
            f"the environment wants Python {one.specifier}, and the base has {means.python or means.target.python}",
            where=str(one.at.place), fix="choose a base with that Python (`seatrial image bases`), or change the line",
        )  # fmt: skip


def _not_pip(others: list[Request]) -> SeatrialError:
    listed = ", ".join(f"{one.conda} ({one.at.place})" for one in others)
    return SeatrialError(
        f"{len(others)} packages are conda's: {listed}" if len(others) > 1 else f"{others[0].conda} is conda's",
        where=str(others[0].at.place), why="an image is assembled of wheels, which only the `pip:` list names",
        fix="move them below `pip:` under their names on the package index, or choose a base that has them",
    )  # fmt: skip


def _pip_lines(source: Source, root: Node, path: Path, place: Place) -> Asked:
    """Every item is a line of a requirement file; it stands where it does in the environment file."""
    items = next(value for key, value in root.entries if key.text == "dependencies").items
    lines = [
        item
        for node in items
        if node.kind == "mapping"
        for key, value in node.entries
        if key.text == "pip"
        for item in value.items
    ]
    found = Asked(files=(path,))
    included: list[Path] = []
    for number, item in enumerate(lines):
        at = source.position(item.start)
        # As many lines and columns before it as in the file, so that messages point there.
        padded = "\n" * (at[0] - 1) + " " * (at[1] - 1) + item.text.strip() + "\n"
        one = read_lines(Source(source.path, padded), path, place, f"{number}-{draft_name(path)}")
        included += _files_of(padded, path)
        found += Asked(requirements=(one.drafts[0].name,)) + one
    if included:
        extra = read_files(included, place)
        found += Asked(
            drafts=extra.drafts, files=extra.files, notes=extra.notes, hashes=extra.hashes, pins=extra.pins
        )
    return found


def _files_of(line: str, path: Path) -> list[Path]:
    from seatrial.sources import requirements

    read = requirements.read(Source(str(path), line))
    return [path.parent / one.target for one in read.lines if one.kind in ("include", "constraint")]
