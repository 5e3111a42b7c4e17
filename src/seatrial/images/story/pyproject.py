"""What a pyproject.toml asks for: PEP 621, dependency groups, uv's and Poetry's tables."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from seatrial.images.story import requests, toml_places
from seatrial.images.story.model import Request, Span
from seatrial.images.story.poetry_versions import to_pep440
from seatrial.images.story.requirement_files import Gathered, gather
from seatrial.sources import toml
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.story.toml_places import Path, Places
    from seatrial.sources.text import Source

Reader = Literal["pip", "uv", "poetry", "pdm"]
"""The tool that reads the project: pip knows neither uv's sources nor Poetry's groups."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What of a project is installed. `default_groups`: also the groups that the tool installs unless told not to."""

    extras: tuple[str, ...] = ()
    all_extras: bool = False
    groups: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    default_groups: bool = False
    project: bool = True


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project file as read. `static` is false where the file leaves its dependencies to a build backend."""

    source: Source
    data: dict[str, Any]
    places: Places

    @property
    def name(self) -> str:
        """The project's name, normalised; empty without one."""
        for table in (_table(self.data, "project"), _table(self.data, "tool", "poetry")):
            if isinstance(table.get("name"), str):
                return requests.normalised(table["name"])
        return ""

    @property
    def static(self) -> bool:
        """Whether the file itself says what the project depends on."""
        project = _table(self.data, "project")
        if _table(self.data, "tool", "poetry").get("dependencies") is not None:
            return True
        return bool(project) and "dependencies" not in _texts(project.get("dynamic"))

    @property
    def python(self) -> str:
        """`requires-python` as written; empty without it."""
        asked = _table(self.data, "project").get("requires-python")
        if isinstance(asked, str):
            return asked
        poetry = _table(self.data, "tool", "poetry", "dependencies").get("python")
        return (to_pep440(poetry) or "") if isinstance(poetry, str) else ""


def load(source: Source) -> Project | None:
    """Read a pyproject.toml; None when it is not TOML."""
    try:
        return Project(source=source, data=toml.read(source), places=toml_places.read(source))
    except (SourceError, RecursionError):
        return None


def _table(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data if isinstance(data, dict) else {}


def _texts(value: Any) -> list[str]:
    """The strings of a value that should be a list of strings."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _tables(value: Any) -> list[dict[str, Any]]:
    """The tables of a value that should be an array of tables."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def dependencies(
    project: Project, wanted: Wanted, reader: Reader, read: Callable[[str], Source | None], path: str
) -> Gathered:
    """Everything that the file says is installed. `path` is where the file is for `read`."""
    found = Gathered(files=(project.source,))
    if wanted.project:
        found += Gathered(requests=tuple(_standard(project, wanted)))
        found += _dynamic(project, read, path)
    found += Gathered(requests=tuple(_grouped(project, wanted)))
    if reader in ("poetry", "pip"):
        found += _poetry(project, wanted, groups=reader == "poetry")
    if reader == "uv":
        found = _with_uv_tables(project, found)
    return found


def _standard(project: Project, wanted: Wanted) -> Iterator[Request]:
    yield from _strings(project, ("project", "dependencies"))
    optional = _table(project.data, "project", "optional-dependencies")
    chosen = {requests.normalised(name): name for name in optional}
    waiting = list(chosen) if wanted.all_extras else [requests.normalised(one) for one in wanted.extras]
    seen: set[str] = set()
    while waiting:
        extra = waiting.pop(0)
        if extra in seen or extra not in chosen:
            continue
        seen.add(extra)
        for one in _strings(project, ("project", "optional-dependencies", chosen[extra])):
            if one.name == project.name and not one.url:
                # An extra that is made of other extras of the same project.
                waiting += [requests.normalised(other) for other in one.extras]
            else:
                yield one


def _strings(project: Project, path: Path) -> Iterator[Request]:
    """The PEP 508 strings of an array."""
    values: Any = project.data
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    for index, text in enumerate(values if isinstance(values, list) else ()):
        if isinstance(text, str):
            found = _string(project, (*path, index), text)
            if found is not None:
                yield found


def _string(project: Project, path: Path, text: str) -> Request | None:
    inside, value = project.places.inside(path), project.places.value(path)
    at = inside or value
    if at is None:
        return None

    def where(start: int, end: int) -> Span | None:
        return Span(project.source, inside.start + start, inside.start + end) if inside else None

    return requests.read(text, at, where, style="toml")


def _grouped(project: Project, wanted: Wanted) -> Iterator[Request]:
    """Dependency groups (PEP 735), and uv's older list of development dependencies."""
    groups = _table(project.data, "dependency-groups")
    waiting = list(wanted.groups)
    if wanted.default_groups:
        defaults = _table(project.data, "tool", "uv").get("default-groups", ["dev"])
        waiting += list(groups) if defaults == "all" else _texts(defaults)
        if "dev" not in wanted.without:
            yield from _strings(project, ("tool", "uv", "dev-dependencies"))
    seen = {requests.normalised(one) for one in wanted.without}
    names = {requests.normalised(name): name for name in groups}
    while waiting:
        group = requests.normalised(waiting.pop(0))
        if group in seen or group not in names:
            continue
        seen.add(group)
        path = ("dependency-groups", names[group])
        yield from _strings(project, path)
        waiting += _texts([item.get("include-group") for item in _tables(groups[names[group]])])


def _dynamic(project: Project, read: Callable[[str], Source | None], path: str) -> Gathered:
    """Requirement files that setuptools reads as the project's dependencies."""
    if "dependencies" not in _texts(_table(project.data, "project").get("dynamic")):
        return Gathered()
    files = _table(project.data, "tool", "setuptools", "dynamic", "dependencies").get("file")
    found = Gathered()
    for file in [files] if isinstance(files, str) else _texts(files):
        found += gather(posixpath.join(posixpath.dirname(path), file), read, {})
    return found


def _poetry(project: Project, wanted: Wanted, *, groups: bool) -> Gathered:
    base: Path = ("tool", "poetry")
    poetry = _table(project.data, "tool", "poetry")
    optional = {
        requests.normalised(name)
        for extra, names in _table(poetry, "extras").items()
        if wanted.all_extras or extra in wanted.extras
        for name in _texts(names)
    }
    found = _poetry_table(project, (*base, "dependencies"), optional) if wanted.project else Gathered()
    if not groups:
        return found
    if wanted.default_groups and "dev" not in wanted.without:
        found += _poetry_table(project, (*base, "dev-dependencies"), set())
    for name, group in _table(poetry, "group").items():
        asked = name in wanted.groups or (
            wanted.default_groups and not _table(poetry, "group", name).get("optional")
        )
        if asked and name not in wanted.without and isinstance(group, dict):
            found += _poetry_table(project, (*base, "group", name, "dependencies"), set())
    return found


def _poetry_table(project: Project, path: Path, optional: set[str]) -> Gathered:
    sources = _tables(_table(project.data, "tool", "poetry").get("source"))
    urls = {str(one.get("name")): str(one.get("url", "")) for one in sources}
    table = project.data
    for key in path:
        table = _table(table, str(key))
    found: list[Request] = []
    unread: list[str] = []
    for name, value in table.items():
        for several, one in enumerate(value) if isinstance(value, list) else ((None, value),):
            where = (*path, name) if several is None else (*path, name, several)
            if isinstance(one, dict) and one.get("optional") and requests.normalised(name) not in optional:
                continue
            request = _poetry_request(project, name, one, where, urls)
            if request is None:
                unread.append(f"{project.source.path}: the versions of {name} cannot be read: {one!r}")
            elif request.name != "python":
                found.append(request)
    return Gathered(requests=tuple(found), unread=tuple(unread))


def _poetry_request(
    project: Project, name: str, value: Any, path: Path, urls: dict[str, str]
) -> Request | None:
    table = value if isinstance(value, dict) else {"version": value}
    text = table.get("version", "*")
    specifier = to_pep440(text) if isinstance(text, str) else None
    at = project.places.entry(path) or project.places.value(path)
    if specifier is None or at is None:
        return None
    versions = project.places.inside((*path, "version") if isinstance(value, dict) else path)
    number = None
    if versions is not None and specifier.startswith("==") and "," not in specifier and "*" not in specifier:
        start = versions.text.find(specifier[2:])
        number = Span(versions.source, versions.start + start, versions.start + start + len(specifier) - 2)
    url = next((str(table[key]) for key in ("url", "path", "file", "git") if key in table), "")
    return Request(
        name=requests.normalised(name),
        at=at,
        specifier=specifier,
        extras=tuple(sorted(_texts(table.get("extras")))),
        marker=_poetry_marker(table),
        url=f"git+{url}" if "git" in table else url,
        index=urls.get(str(table.get("source", "")), ""),
        style="poetry",
        versions=versions,
        version=number,
    )


def _poetry_marker(table: dict[str, Any]) -> str:
    parts = [str(table["markers"])] if "markers" in table else []
    python = to_pep440(table["python"]) if isinstance(table.get("python"), str) else None
    for one in (python or "").split(","):
        sign = one.rstrip("0123456789.*")
        if sign:
            parts.append(f"python_version {sign} '{one[len(sign) :].removesuffix('.*')}'")
    if "platform" in table:
        parts.append(f"sys_platform == '{table['platform']}'")
    return " and ".join(f"({one})" if " or " in one else one for one in parts)


def _with_uv_tables(project: Project, found: Gathered) -> Gathered:
    """`[tool.uv.sources]` and `[[tool.uv.index]]`: where uv takes what from; its overrides and constraints bind as well."""
    uv = _table(project.data, "tool", "uv")
    indexes = [one for one in _tables(uv.get("index")) if "url" in one]
    named = {str(one.get("name")): str(one["url"]) for one in indexes}
    sources = {requests.normalised(name): value for name, value in _table(uv, "sources").items()}
    placed = tuple(_from_source(one, sources.get(one.name), named) for one in found.requests)
    default = next((str(one["url"]) for one in indexes if one.get("default")), str(uv.get("index-url", "")))
    extra = [str(one["url"]) for one in indexes if not one.get("default") and not one.get("explicit")]
    extra += _texts(uv.get("extra-index-url"))
    flags = {f"torch-backend={uv['pip']['torch-backend']}"} if "torch-backend" in _table(uv, "pip") else set()
    bound = [*_strings(project, ("tool", "uv", "constraint-dependencies"))]
    overrides = {one.name: one for one in _strings(project, ("tool", "uv", "override-dependencies"))}
    kept = tuple(overrides.get(one.name, one) for one in placed)
    bound += [one for name, one in overrides.items() if not any(other.name == name for other in kept)]
    return msgspec.structs.replace(
        found,
        requests=kept,
        constraints=found.constraints + tuple(bound),
        index=default or found.index,
        extra_indexes=(*found.extra_indexes, *extra),
        flags=found.flags | flags,
    )


def _from_source(request: Request, source: Any, indexes: dict[str, str]) -> Request:
    """The request with what uv's sources say about it; of several sources the one without a foreign platform."""
    several = source if isinstance(source, list) else [source]
    fitting = [one for one in several if isinstance(one, dict) and _may_be_linux(str(one.get("marker", "")))]
    if not fitting:
        return request
    one = fitting[0]
    url = next((str(one[key]) for key in ("url", "path", "git") if key in one), "")
    if "git" in one:
        ref = next((f"@{one[key]}" for key in ("rev", "tag", "branch") if key in one), "")
        url = f"git+{url}{ref}"
    return msgspec.structs.replace(
        request,
        index=indexes.get(str(one.get("index", "")), request.index),
        url=url or request.url,
        editable=bool(one.get("editable")) or request.editable,
    )


def _may_be_linux(marker: str) -> bool:
    return not any(
        f"== '{other}'" in marker.replace('"', "'") for other in ("darwin", "win32", "Darwin", "Windows")
    )
