"""Poetry's tables of a pyproject.toml. Source: https://python-poetry.org/docs/pyproject/ and …/dependency-specification/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from seatrial.errors import SeatrialError
from seatrial.images.inputs.environment import holds
from seatrial.images.inputs.locations import read_location
from seatrial.images.inputs.needs import Need
from seatrial.images.story.poetry_versions import to_pep440
from seatrial.images.story.requests import normalised

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from seatrial.images.inputs.requirement_files import Place
    from seatrial.images.story.pyproject import Project

_FAR = ("git", "path", "file", "url")


def table_of(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The table at that path, empty where there is none."""
    for key in keys:
        value = data.get(key)
        data = value if isinstance(value, dict) else {}
    return data


def poetry_extras(project: Project) -> dict[str, list[str]]:
    """Extra → names of the packages that it brings, all normalised."""
    extras = table_of(project.data, "tool", "poetry", "extras")
    return {
        normalised(extra): [normalised(str(name).split("[")[0]) for name in names]
        for extra, names in extras.items()
        if isinstance(names, list)
    }


def poetry_groups(project: Project) -> dict[str, tuple[str, ...]]:
    """Group (normalised) → where its table is."""
    found: dict[str, tuple[str, ...]] = {
        normalised(name): ("tool", "poetry", "group", name, "dependencies")
        for name in table_of(project.data, "tool", "poetry", "group")
    }
    if table_of(project.data, "tool", "poetry", "dev-dependencies"):
        found.setdefault("dev", ("tool", "poetry", "dev-dependencies"))
    return found


def poetry_needs(
    project: Project, place: Place, path: tuple[str, ...], extras: Collection[str] = ()
) -> Iterator[Need]:
    """What one of the tables asks for on the target; optional packages only where one of the `extras` brings them.

    Raises:
        SeatrialError: versions that cannot be read, or a place where nothing is.
    """
    brought = {name for extra, names in poetry_extras(project).items() if extra in extras for name in names}
    for name, value in table_of(project.data, *path).items():
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            where = _where(project, (*path, name, number) if isinstance(value, list) else (*path, name))
            table = one if isinstance(one, dict) else {"version": one}
            wanted = not table.get("optional") or normalised(name) in brought
            if normalised(name) != "python" and wanted and _fits(table, place, where):
                yield _need(project, place, name, table, where)


def poetry_origins(project: Project, place: Place) -> dict[str, Need]:
    """What `[tool.poetry.dependencies]` says of where packages of `[project]` come from."""
    found = {}
    path = ("tool", "poetry", "dependencies")
    for name, value in table_of(project.data, *path).items():
        for table in value if isinstance(value, list) else [value]:
            if isinstance(table, dict) and {*_FAR, "source"} & set(table):
                where = _where(project, (*path, name))
                if _fits(table, place, where):
                    found[normalised(name)] = _need(project, place, name, table, where)
    return found


def poetry_indexes(project: Project) -> tuple[str, tuple[str, ...]]:
    """The default index and those besides; explicit sources are only for the packages that name them.

    Source: https://python-poetry.org/docs/repositories/#package-source-priorities
    """
    sources = _sources(project)
    primary = [one for one in sources if one.get("priority", "primary") in ("default", "primary")]
    supplemental = [one for one in sources if one.get("priority") in ("supplemental", "secondary")]
    urls = [_url(one) for one in (*primary, *supplemental)]
    return (urls[0], tuple(urls[1:])) if primary else ("", tuple(urls))


def source_url(project: Project, name: str) -> str:
    """The address of one of Poetry's sources; empty for the public index and an unknown name."""
    return next((_url(one) for one in _sources(project) if one.get("name") == name), "")


def _sources(project: Project) -> list[dict[str, Any]]:
    listed = table_of(project.data, "tool", "poetry").get("source")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _url(source: dict[str, Any]) -> str:
    return str(source.get("url", "")) or (
        "https://pypi.org/simple" if str(source.get("name")).lower() == "pypi" else ""
    )


def _fits(table: dict[str, Any], place: Place, where: str) -> bool:
    if not holds(str(table.get("markers", "")), place.environment, where=where):
        return False
    if table.get("platform") not in (None, "linux"):
        return False
    python = table.get("python")
    if not isinstance(python, str):
        return True
    from packaging.specifiers import SpecifierSet

    return any(
        specifier is None or SpecifierSet(specifier).contains(place.environment["python_full_version"])
        for specifier in map(to_pep440, python.split("||"))
    )


def _need(project: Project, place: Place, name: str, table: dict[str, Any], where: str) -> Need:
    extras = tuple(sorted(str(one) for one in table.get("extras", ())))
    address = _address(table)
    common = {"name": normalised(name), "extras": extras, "where": where}
    if address:
        location = read_location(
            f"{name} @ {address}",
            project_folder(project),
            place.root,
            where,
            editable=bool(table.get("develop")),
        )
        return Need(location=location, **common)  # type: ignore[arg-type]
    version = table.get("version", "*")
    specifier = to_pep440(version) if isinstance(version, str) else None
    if specifier is None:
        raise SeatrialError(
            f"the versions of {name} cannot be read: {version!r}", where=where,
            why="versions joined by `||` cannot be written in one Python requirement" if "||" in str(version) else None,
            fix="write them as one range, or use the project's lock (`poetry lock`)",
        )  # fmt: skip
    return Need(specifier=specifier, index=source_url(project, str(table.get("source", ""))), **common)  # type: ignore[arg-type]


def _address(table: dict[str, Any]) -> str:
    sub = f"#subdirectory={quote(str(table['subdirectory']))}" if "subdirectory" in table else ""
    if "git" in table:
        revision = next((f"@{table[key]}" for key in ("rev", "tag", "branch") if key in table), "")
        return f"git+{_standard_git(str(table['git']))}{revision}{sub}"
    return next((f"{table[key]}{sub}" for key in ("url", "path", "file") if key in table), "")


def _standard_git(url: str) -> str:
    """`git@host:owner/name.git` as the address that it stands for."""
    if "://" in url or ":" not in url:
        return url
    host, _, path = url.partition(":")
    return f"ssh://{host}/{path}"


def _where(project: Project, path: tuple[str | int, ...]) -> str:
    at = project.places.entry(path) or project.places.value(path) or project.places.entry(path[:-1])
    return str(at.place) if at is not None else project.source.path


def project_folder(project: Project) -> Any:
    """The folder of the file."""
    from pathlib import Path

    return Path(project.source.path).parent
