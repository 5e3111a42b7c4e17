"""What a pyproject.toml asks for: PEP 621, dependency groups, uv's sources, Poetry's tables. Nothing of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config.nearest import nearest
from seatrial.errors import SeatrialError, UsageError
from seatrial.images.inputs import poetry_tables as poetry
from seatrial.images.inputs.asked import Asked, Gap
from seatrial.images.inputs.environment import allows
from seatrial.images.inputs.locations import read_location
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.inputs.needs import Need, Reading, asked_of
from seatrial.images.inputs.requirement_files import draft_name, read_files
from seatrial.images.inputs.uv_tables import uv_origin, uv_packaged
from seatrial.images.story import pyproject, toml_places
from seatrial.images.story.requests import normalised
from seatrial.sources import text, toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.images.inputs.requirement_files import Place
    from seatrial.images.story.model import Request
    from seatrial.images.story.pyproject import Project
    from seatrial.images.target import Target


def read_project(
    path: Path,
    place: Place,
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    install: bool | None = None,
    lenient: bool = False,
) -> Reading:
    """What is installed of the project with that pyproject.toml, with these extras and dependency groups.

    `install`: whether the project itself is; None: when it says how it is built. `lenient` passes over unknown extras, as
    pip does where somebody else asks for the project.

    Raises:
        SourceError: it is not TOML.
        UsageError: it has no such extra or group.
        SeatrialError: something that it asks for cannot be read or is not there.
    """
    project = load(path)
    chosen = _chosen(project, extras, groups, lenient=lenient)
    packaged = is_packaged(project)
    found = list(_needs(project, place, chosen))
    own = {extra for need in found if need.name == project.name for extra in need.extras} - set(chosen.extras)
    while own:  # `all = ["this-project[one,two]"]`
        chosen = msgspec.structs.replace(chosen, extras=(*chosen.extras, *sorted(own)))
        found = list(_needs(project, place, chosen))
        own = {extra for need in found if need.name == project.name for extra in need.extras} - set(
            chosen.extras
        )
    index, extra_indexes = poetry.poetry_indexes(project)
    return Reading(
        path=path,
        name=project.name,
        needs=tuple(need for need in found if need.name != project.name or not project.name),
        installed=packaged if install is None else install,
        packaged=packaged,
        complete=_complete(project),
        extras=chosen.extras,
        python=project.python,
        index=index,
        extra_indexes=extra_indexes,
    )


def load(path: Path) -> Project:
    """A pyproject.toml with the places of its values.

    Raises:
        SourceError: it cannot be read or is not TOML.
    """
    source = text.read(path, str(path))
    return pyproject.Project(source=source, data=toml.read(source), places=toml_places.read(source))


def asked_of_project(reading: Reading, place: Place) -> Asked:
    """The same as uv is asked.

    Raises:
        SeatrialError: only its build would know what it depends on, and it is not to be installed.
    """
    project = load(reading.path)
    folder = reading.path.parent
    found = Asked(
        files=(reading.path,), index=reading.index, extra_indexes=reading.extra_indexes, notes=reading.notes
    )
    if not reading.complete and not reading.installed:
        stated = _stated_files(project)
        if not stated:
            raise SeatrialError(
                "which packages the project needs is not in the file", where=str(reading.path),
                why=_why_incomplete(project),
                fix="let the project be installed (`--project`), or list what it needs under `project.dependencies`",
            )  # fmt: skip
        found += read_files([folder / name for name in stated], place)
    first: tuple[Gap, ...] = ()
    if reading.installed:
        own = Unbuilt(kind="folder", url=str(folder), name=reading.name, where=str(reading.path))
        first = (Gap(own, () if reading.complete else reading.extras, bare=reading.complete),)
    return found + asked_of(draft_name(reading.path), reading.needs, first=first)


def check_python(reading: Reading, target: Target, python: str) -> None:
    """Raise unless the project can run on the target's Python.

    Raises:
        SeatrialError: its `requires-python` excludes it.
    """
    if not reading.python or allows(reading.python, target, python):
        return
    project = load(reading.path)
    at = project.places.inside(("project", "requires-python")) or project.places.value(
        ("tool", "poetry", "dependencies", "python")
    )
    raise SeatrialError(
        f"the project needs Python {reading.python}, and the base has {python or target.python}",
        where=str(at.place) if at else str(reading.path),
        fix="choose a base with a Python that fits (`seatrial image bases`)",
    )


def is_packaged(project: Project) -> bool:
    """Whether the file says how the project is built, so that it can be installed itself."""
    if poetry.table_of(project.data, "tool", "poetry").get("package-mode") is False:
        return False
    said = uv_packaged(project)
    return "build-system" in project.data if said is None else said


def _complete(project: Project) -> bool:
    table = poetry.table_of(project.data, "project")
    said = table.get("dynamic")
    dynamic = said if isinstance(said, list) else []
    if table and "dependencies" not in dynamic and "optional-dependencies" not in dynamic:
        return True
    return bool(poetry.table_of(project.data, "tool", "poetry", "dependencies")) or (
        not table and "build-system" not in project.data
    )


def _why_incomplete(project: Project) -> str:
    if "project" in project.data:
        return "it says that its dependencies are dynamic: its build finds them out"
    return "it has no `[project]` table: its build knows what it needs"


def _stated_files(project: Project) -> list[str]:
    """Requirement files that setuptools reads as the dependencies."""
    table = poetry.table_of(project.data, "tool", "setuptools", "dynamic", "dependencies")
    files = table.get("file")
    return [files] if isinstance(files, str) else [one for one in files or () if isinstance(one, str)]


def _chosen(
    project: Project, extras: Iterable[str], groups: Iterable[str], *, lenient: bool
) -> pyproject.Wanted:
    known_extras = {
        *map(normalised, poetry.table_of(project.data, "project", "optional-dependencies")),
        *poetry.poetry_extras(project),
    }
    known_groups = {
        *map(normalised, poetry.table_of(project.data, "dependency-groups")),
        *poetry.poetry_groups(project),
        *(["dev"] if poetry.table_of(project.data, "tool", "uv").get("dev-dependencies") else []),
    }
    wanted = tuple(dict.fromkeys(map(normalised, extras)))
    chosen = tuple(dict.fromkeys(map(normalised, groups)))
    if lenient:
        wanted = tuple(one for one in wanted if one in known_extras)
    elif _complete(project):
        _refuse_unknown(project, "extra", wanted, known_extras)
    _refuse_unknown(project, "group", chosen, known_groups)
    return pyproject.Wanted(extras=wanted, groups=chosen, without=())


def _refuse_unknown(project: Project, kind: str, wanted: Iterable[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            close = nearest(name, known)
            listed = f"choose one of: {', '.join(sorted(known))}" if known else f"leave `--{kind}` out"
            raise UsageError(
                f"the project has no {kind} {name!r}",
                where=project.source.path,
                fix=f"did you mean {close.word!r}?" if close else listed,
            )


def _needs(project: Project, place: Place, chosen: pyproject.Wanted) -> Iterator[Need]:
    gathered = pyproject.dependencies(project, chosen, "pdm", lambda _path: None, project.source.path)
    origins = poetry.poetry_origins(project, place)
    for request in gathered.requests:
        if request.marker and not _holds(request, place):
            continue
        yield _need(project, request, place, origins)
    if "dev" in chosen.groups and "dev" not in map(
        normalised, poetry.table_of(project.data, "dependency-groups")
    ):
        for request in pyproject._strings(project, ("tool", "uv", "dev-dependencies")):  # noqa: SLF001 - the same reader
            if not request.marker or _holds(request, place):
                yield _need(project, request, place, origins)
    if not _has_standard(project):
        yield from poetry.poetry_needs(project, place, ("tool", "poetry", "dependencies"), chosen.extras)
    for group, path in poetry.poetry_groups(project).items():
        if group in chosen.groups:
            yield from poetry.poetry_needs(project, place, path)


def _has_standard(project: Project) -> bool:
    """Since Poetry 2 its own table only adds to what `[project]` says, unless that leaves its dependencies dynamic."""
    table = poetry.table_of(project.data, "project")
    return bool(table) and "dependencies" not in (table.get("dynamic") or ())


def _holds(request: Request, place: Place) -> bool:
    from seatrial.images.inputs.environment import holds

    return holds(request.marker, place.environment, where=str(request.at.place))


def _need(project: Project, request: Request, place: Place, origins: dict[str, Need]) -> Need:
    where = str(request.at.place)
    origin: Any = uv_origin(project, request.name, place, where) or origins.get(request.name)
    common = {"name": request.name, "extras": request.extras, "where": where}
    if origin is not None and (origin.location is not None or origin.index):
        return Need(specifier=request.specifier, index=origin.index, location=origin.location, **common)  # type: ignore[arg-type]
    if request.url:
        location = read_location(
            f"{request.name} @ {request.url}", Path(project.source.path).parent, place.root, where
        )
        return Need(location=location, **common)  # type: ignore[arg-type]
    return Need(specifier=request.specifier, **common)  # type: ignore[arg-type]
