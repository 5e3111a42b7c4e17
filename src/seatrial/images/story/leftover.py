"""Dependency files that stand without a Dockerfile: each set of them is one install."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story import conda_files, pipfiles, requirement_files
from seatrial.images.story.model import Install, Span, Stage
from seatrial.images.story.projects import static_project
from seatrial.images.story.requirement_files import Gathered, gather
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.story.model import Tool
    from seatrial.sources.text import Source

_REQUIREMENTS = re.compile(r"(?:.*[-_.])?requirements?(?:[-_.].*)?\.txt", re.IGNORECASE)
_CONSTRAINTS = re.compile(r"constraint|override", re.IGNORECASE)
_ENVIRONMENT = re.compile(
    r"(?:conda[-_.]?)?(?:environment|env)(?:[-_.].*)?\.ya?ml$|conda.*\.ya?ml$", re.IGNORECASE
)


def alone(read: Callable[[str], Source | None], listing: tuple[str, ...]) -> tuple[tuple[Stage, ...], str]:
    """A stage without a base for every independent set, and the Python version that the files ask for.

    Each set is a stage of its own, because nothing says that two of them are ever installed together.
    """
    sets: list[tuple[Install, ...]] = []
    python = ""
    for folder in sorted({posixpath.dirname(path) for path in listing}):
        here = [path for path in listing if posixpath.dirname(path) == folder]
        found, asked = _folder(read, folder, here)
        sets += found
        python = python or asked
    stages = tuple(
        Stage(index=index, name="", base=None, steps=steps) for index, steps in enumerate(sets) if steps
    )
    return stages, python


def together(read: Callable[[str], Source | None], paths: tuple[str, ...]) -> Stage:
    """One install of several requirement files, as `pip install -r one.txt -r other.txt`."""
    found = Gathered()
    for path in paths:
        found += gather(path, read, {})
    return Stage(index=0, name="", base=None, steps=(_install("pip", found),) if found.files else ())


def _folder(
    read: Callable[[str], Source | None], folder: str, paths: list[str]
) -> tuple[list[tuple[Install, ...]], str]:
    sets: list[tuple[Install, ...]] = [(one,) for one in _requirements(read, paths)]
    python = ""
    names = {posixpath.basename(path) for path in paths}
    if names & {"pyproject.toml", "setup.cfg", "setup.py"}:
        sets += [(one,) for one in _project(read, folder, names)]
    if "Pipfile" in names:
        sets += [(one,) for one in _pipfile(read, folder)]
        source = read(posixpath.join(folder, "Pipfile"))
        python = pipfiles.python(source) if source is not None else ""
    for path in paths:
        if _ENVIRONMENT.fullmatch(posixpath.basename(path)):
            found, asked = _environment(read, path)
            sets += [found] if found else []
            python = python or asked
        elif posixpath.basename(path).startswith("pylock.") and path.endswith(".toml"):
            sets += [(one,) for one in _pylock(read, path)]
    return sets, python


def is_requirements(path: str) -> bool:
    """Whether a file holds requirements by its name; a constraint file is no set of its own."""
    folder, name = posixpath.split(path)
    inside = posixpath.basename(folder) == "requirements" and name.endswith(".txt")
    return (inside or bool(_REQUIREMENTS.fullmatch(name))) and not _CONSTRAINTS.search(name)


def _requirements(read: Callable[[str], Source | None], paths: list[str]) -> Iterator[Install]:
    files = [path for path in paths if is_requirements(path)]
    included: set[str] = set()
    for path in files:
        source = read(path)
        if source is not None:
            included |= {one for one in requirement_files.includes(source) if one != path}
    compiled = {path.removesuffix(".in") + ".txt" for path in paths if path.endswith(".in")}
    for path in files:
        if path not in included or path in compiled:
            found = gather(path, read, {})
            if found.files and (found.requests or found.unread):
                yield _install("pip", found)


def _install(tool: Tool, found: Gathered) -> Install:
    first = found.files[0]
    return Install(
        tool=tool,
        at=Span(first, 0, 0),
        requests=found.requests,
        constraints=found.constraints,
        index=found.index,
        extra_indexes=found.extra_indexes,
        find_links=found.find_links,
        flags=found.flags,
        unread=found.unread,
        files=found.files,
    )


def _project(read: Callable[[str], Source | None], folder: str, names: set[str]) -> Iterator[Install]:
    from seatrial.images.story.local import project
    from seatrial.images.story.pyproject import Wanted

    tool = "pip"
    if "pyproject.toml" in names:
        found, tool, _ = static_project(folder, read)
    else:
        found, _ = project(folder, Wanted(), read)
    if found.files and found.requests:
        tools: dict[str, Tool] = {"uv": "uv", "poetry": "poetry", "pdm": "pdm"}
        yield _install(tools.get(tool, "pip"), found)


def _pipfile(read: Callable[[str], Source | None], folder: str) -> Iterator[Install]:
    from seatrial.images.story.projects import read_pipfile
    from seatrial.images.story.pyproject import Wanted

    found = read_pipfile(folder, Wanted(), read)
    if found.files and found.requests:
        yield _install("pipenv", found)


def _environment(read: Callable[[str], Source | None], path: str) -> tuple[tuple[Install, ...], str]:
    source = read(path)
    loaded = conda_files.load(source, read, path) if source is not None else None
    if loaded is None or source is None:
        return (), ""
    steps: tuple[Install, ...] = (_install("conda", loaded.conda),)
    if loaded.pip.requests:
        steps += (_install("pip", Gathered(files=(source,)) + loaded.pip),)
    python = next((one.specifier for one in loaded.conda.requests if one.name == "python"), "")
    version = re.match(r"==(\d+\.\d+)", python)
    return steps, version[1] if version else ""


def _pylock(read: Callable[[str], Source | None], path: str) -> Iterator[Install]:
    from seatrial.images.story import locks
    from seatrial.images.story.pyproject import Wanted

    source = read(path)
    try:
        found = locks.read(source, Wanted()) if source is not None else None
    except SourceError:
        found = None
    if found is not None and found.requests:
        yield _install("pip", found)
