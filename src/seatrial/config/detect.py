"""What a project without (all of) its settings evidently is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.config.tree import Listing, Node, Place, Scalar, Table, at, put

if TYPE_CHECKING:
    from pathlib import Path

# Exact before loose, and what somebody wrote to be installed before what describes a project.
LOCKS = ("uv.lock", "poetry.lock", "pylock.toml")
REQUIREMENTS = ("requirements.txt", "requirements/base.txt", "requirements/prod.txt", "requirements.in")
ENVIRONMENTS = ("environment.yml", "environment.yaml")
PROGRAMS = ("serve.py", "server.py", "app.py", "main.py")
_PING = re.compile(r"""["']/ping["']""")


def detected(directory: Path, said: Table) -> Table:
    """`said` completed with what the files of `directory` show, without contradicting it.

    A file that says which packages are installed makes an image; a program that answers `/ping` makes a service of it.
    """
    requirements = requirements_of(directory)
    images = said.get("images")
    if images is None:
        if requirements is None:
            return said
        said = put(said, ("images", project_name(directory)), Table((), Place("detected", requirements)))
        images = said.get("images")
    if not isinstance(images, Table):
        return said
    for name, image in images.entries:
        said = _completed_image(directory, said, name.text, image, requirements)
    return _completed_services(directory, said)


def requirements_of(directory: Path) -> str | None:
    """The file that says what the project installs: a lock, requirements.txt, pyproject.toml, or conda's environment.yml."""
    for name in (*LOCKS, *REQUIREMENTS):
        if (directory / name).is_file():
            return name
    if _has_dependencies(directory / "pyproject.toml"):
        return "pyproject.toml"
    return next((name for name in ENVIRONMENTS if (directory / name).is_file()), None)


def _has_dependencies(path: Path) -> bool:
    """Whether a pyproject.toml describes what a project needs; many only configure tools."""
    import tomllib

    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    project = data.get("project")
    poetry = data.get("tool", {}).get("poetry", {}) if isinstance(data.get("tool"), dict) else {}
    if isinstance(project, dict):
        dynamic = project.get("dynamic")
        if project.get("dependencies") or (isinstance(dynamic, list) and "dependencies" in dynamic):
            return True
    needed = poetry.get("dependencies") if isinstance(poetry, dict) else None
    return isinstance(needed, dict) and bool(set(needed) - {"python"})


def project_name(directory: Path) -> str:
    """The folder's name in the letters that image names may have."""
    return re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")[:100] or "project"


def _completed_image(directory: Path, said: Table, name: str, image: Node, requirements: str | None) -> Table:
    if not isinstance(image, Table) and not (isinstance(image, Scalar) and image.kind == "null"):
        return said
    if requirements and at(said, ("images", name, "requirements")) is None:
        said = put(said, ("images", name, "requirements"), _texts(requirements, requirements))
    told = any(at(said, ("images", name, key)) is not None for key in ("entrypoint", "command"))
    program = next((one for one in PROGRAMS if (directory / one).is_file()), None)
    if program and not told:
        said = put(said, ("images", name, "entrypoint"), _texts(program, "python3", program))
    return said


def _completed_services(directory: Path, said: Table) -> Table:
    images = said.get("images")
    program = next((one for one in PROGRAMS if (directory / one).is_file()), None)
    if (
        said.get("services") is not None
        or not isinstance(images, Table)
        or len(images.entries) != 1
        or not program
    ):
        return said
    try:
        text = (directory / program).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return said
    if not _PING.search(text):
        return said
    return put(said, ("services", images.entries[0][0].text), Table((), Place("detected", program)))


def _texts(origin: str, *texts: str) -> Listing:
    place = Place("detected", origin)
    return Listing(tuple(Scalar(text, "text", place) for text in texts), place)
