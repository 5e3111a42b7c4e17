"""From the files of an image to what it installs: each kind of file is read by the tool's own rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import UsageError
from seatrial.images.inputs.asked import Asked
from seatrial.images.inputs.environment import marker_environment
from seatrial.images.inputs.making import make
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.inputs.requirement_files import Place, read_files
from seatrial.images.inputs.solving import Settled, settle

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.inputs.making import Means
    from seatrial.images.inputs.model import Wanted

_LOCKS = ("uv.lock", "poetry.lock", "pylock.toml")
_OTHERS = {
    "Pipfile": "`pipenv requirements > requirements.txt` writes what it says as a requirements file",
    "Pipfile.lock": "`pipenv requirements --hash > requirements.txt` writes what it says as a requirements file",
    "pdm.lock": "`pdm export -f pylock > pylock.toml` writes what it says as pylock.toml",
    "conda-lock.yml": "write the pip packages into requirements.txt, and choose a base that has the others",
    "setup.py": "name the folder in a requirements file (`.`), or write a pyproject.toml",
    "setup.cfg": "name the folder in a requirements file (`.`), or write a pyproject.toml",
}


def kind_of(path: Path) -> str:
    """`uv.lock`, `poetry.lock`, `pylock.toml`, `pyproject.toml`, `environment.yml` or `requirements.txt`.

    Raises:
        UsageError: it is a file that another tool has to translate first.
    """
    name = path.name
    if name in _OTHERS:
        raise UsageError(f"{name} is not read", where=str(path), fix=_OTHERS[name])
    if re.fullmatch(r"pylock\.([^.]+\.)?toml", name):
        return "pylock.toml"
    if name in (*_LOCKS, "pyproject.toml"):
        return name
    return "environment.yml" if path.suffix in (".yml", ".yaml") else "requirements.txt"


def read(wanted: Wanted, means: Means) -> Settled:
    """What the files of an image install.

    Raises:
        SourceError, SeatrialError: a file cannot be read, or what it asks for cannot be had.
        UsageError: the files, extras or groups do not go together.
    """
    place = Place(wanted.root, marker_environment(means.target, means.python), means.env)
    kinds = {path: kind_of(path) for path in wanted.files}
    _check_choices(wanted, kinds)
    locks = [path for path, kind in kinds.items() if kind in _LOCKS]
    if locks:
        return _locked(locks, kinds, wanted, means, place)
    asked = Asked()
    for path, kind in kinds.items():
        asked += _loose(path, kind, wanted, means, place)
    if asked.gaps:
        from seatrial.images.inputs.folders import with_folders

        asked = with_folders(asked, place)
    return settle(asked, means)


def _loose(path: Path, kind: str, wanted: Wanted, means: Means, place: Place) -> Asked:
    if kind == "requirements.txt":
        return read_files([path], place)
    if kind == "environment.yml":
        from seatrial.images.inputs.environment_file import read_environment

        return read_environment(path, place, means)
    from seatrial.images.inputs.project import asked_of_project, check_python, read_project

    reading = read_project(path, place, extras=wanted.extras, groups=wanted.groups, install=wanted.project)
    check_python(reading, means.target, means.python)
    found = asked_of_project(reading, place)
    lock = next((one for one in ("uv.lock", "poetry.lock") if (path.parent / one).is_file()), "")
    if lock:
        found += Asked(
            notes=(f"{lock} is not used: the image names {path.name}, whose versions are looked up",)
        )
    return found


def _locked(locks: list[Path], kinds: dict[Path, str], wanted: Wanted, means: Means, place: Place) -> Settled:
    lock = locks[0]
    projects = [path for path, kind in kinds.items() if kind == "pyproject.toml"]
    others = [path.name for path in kinds if path != lock and path not in projects[:1]]
    if others:
        raise UsageError(
            f"{lock.name} and {', '.join(others)} are named together", where=str(lock),
            why="a lock says everything that is installed", fix=f"name {lock.name} alone",
        )  # fmt: skip
    project = projects[0] if projects else lock.parent / "pyproject.toml"
    if kinds[lock] == "uv.lock":
        from seatrial.images.inputs.uv_lock import settle_uv_lock

        return settle_uv_lock(lock, project, wanted, means, place)
    if kinds[lock] == "poetry.lock":
        from seatrial.images.inputs.poetry_lock import settle_poetry_lock

        return settle_poetry_lock(lock, project, wanted, means, place)
    return _pylock(lock, project, wanted, means)


def _pylock(lock: Path, project: Path, wanted: Wanted, means: Means) -> Settled:
    import msgspec

    from seatrial.images.inputs.project import load
    from seatrial.images.inputs.pylock import settle_pylock

    own = load(project).name if project.is_file() else ""
    without = [own] if wanted.project is False and own else []
    done = settle_pylock(lock, means, extras=wanted.extras, groups=wanted.groups, without=without)
    if wanted.project and own not in {made.built.wheel.name for made in done.made}:
        made = make(Unbuilt(kind="folder", url=str(project.parent), name=own, where=str(project)), means)
        done = msgspec.structs.replace(done, made=(*done.made, made))
    return done


def _check_choices(wanted: Wanted, kinds: dict[Path, str]) -> None:
    """Extras, groups and the project belong to project files and locks."""
    if set(kinds.values()) - {"requirements.txt", "environment.yml"}:
        return
    said = "extras" if wanted.extras else "groups" if wanted.groups else "project" if wanted.project else ""
    if said:
        raise UsageError(
            f"`{said}` is given, and none of the files describes a project", where=str(wanted.files[0]),
            why=f"the image installs {', '.join(path.name for path in kinds)}",
            fix="name pyproject.toml or a lock as the image's requirements, or leave it out",
        )  # fmt: skip
