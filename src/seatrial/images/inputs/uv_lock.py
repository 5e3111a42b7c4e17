"""uv.lock: uv itself turns it into a pylock.toml, without looking at an index or running anything."""

from __future__ import annotations

import sys
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.choosing import Rules
from seatrial.images.inputs.project import check_python, load, read_project
from seatrial.images.inputs.pylock import settle_packages
from seatrial.images.inputs.stale import changed_needs, check_lock
from seatrial.images.story.requests import normalised
from seatrial.images.uv_program import clean, find_uv, quiet
from seatrial.processes import run
from seatrial.sources import text, toml

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.inputs.making import Means
    from seatrial.images.inputs.model import Wanted
    from seatrial.images.inputs.needs import Reading
    from seatrial.images.inputs.requirement_files import Place
    from seatrial.images.inputs.solving import Settled


def settle_uv_lock(lock: Path, project: Path, wanted: Wanted, means: Means, place: Place) -> Settled:
    """What the lock installs for the project with that pyproject.toml, which may be a member of the lock's workspace.

    Raises:
        SourceError: a file is not TOML.
        SeatrialError: the lock is older than the project file and contradicts it, or a package cannot be had.
        UsageError: the project has no such extra or group.
    """
    content = toml.read(text.read(lock, str(lock)))
    if not project.is_file():
        raise SeatrialError(
            "the project of this lock is not there", where=str(lock), why=f"{project} does not exist",
            fix="put pyproject.toml beside its lock",
        )  # fmt: skip
    reading = read_project(project, place, extras=wanted.extras, groups=wanted.groups, install=wanted.project)
    check_python(reading, means.target, means.python)
    data = _exported(lock, project, reading, wanted, means)
    packages = [{**one, "name": normalised(str(one["name"]))} for one in data.get("packages", ())]
    check_lock(reading.needs, _versions(packages), lock, "uv lock")
    without = [reading.name] if wanted.project is False and reading.name else []
    if wanted.project and reading.name not in {one["name"] for one in packages}:
        packages.append({"name": reading.name, "directory": {"path": str(project.parent)}})
    done = settle_packages(
        {**data, "packages": packages}, Rules(folder=lock.parent, where=str(lock)), means, without=without
    )
    notes = changed_needs(content, reading, load(project), lock)
    return msgspec.structs.replace(done, notes=done.notes + notes)


def _exported(lock: Path, project: Path, reading: Reading, wanted: Wanted, means: Means) -> dict[str, Any]:
    argv = [
        find_uv(), "export", "--frozen", "--format", "pylock.toml", "--no-header", "--no-default-groups",
        "--project", str(project.parent), "--python", sys.executable, "--no-python-downloads", "--offline",
        *(["--all-packages"] if not reading.name else []),
        *(part for one in wanted.extras for part in ("--extra", one)),
        *(part for one in wanted.groups for part in ("--group", one)),
    ]  # fmt: skip
    dropped = (
        "UV_PROJECT",
        "UV_WORKING_DIR",
        "UV_LOCKED",
        "UV_FROZEN",
        "UV_PYTHON",
        "UV_NO_GROUP",
        "UV_NO_SOURCES",
    )
    env = {name: value for name, value in quiet(means.env).items() if name not in dropped}
    done = run(argv, cwd=lock.parent, env=env)
    if done.code != 0:
        lines = [line for line in clean(done.stderr).splitlines() if line.strip()]
        raise SeatrialError(
            lines[0].removeprefix("error: ") if lines else "uv cannot read the lock", where=str(lock),
            why=" ".join(line.strip() for line in lines[1:]) or None, fix="write the lock again: `uv lock`",
        )  # fmt: skip
    return tomllib.loads(done.stdout)


def _versions(packages: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in packages:
        direct = {"archive", "vcs", "directory"} & set(one)
        found.setdefault(one["name"], []).append("" if direct else str(one.get("version", "")))
    return found
