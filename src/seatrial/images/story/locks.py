"""Lock files: the exact versions that a tool installs, whatever the project file says more loosely."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from seatrial.images.story import requests
from seatrial.images.story.markers import may_hold
from seatrial.images.story.model import Request, Span
from seatrial.images.story.requirement_files import Gathered
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from seatrial.images.story.pyproject import Wanted
    from seatrial.sources.text import Source

_BLOCK = re.compile(
    r"^\[\[packages?\]\]\s*?\r?\n(?P<at>name = \"(?P<name>[^\"]+)\"\r?\n(?:version = \"(?P<version>[^\"]+)\")?)",
    re.MULTILINE,
)
_PYPI = "https://pypi.org/simple"
# The files of a package are nine tenths of a lock of uv, and nothing asks for them here.
_FILES = re.compile(r"^wheels = \[\r?\n(?:[ \t]+\{.*\r?\n)*\]\r?\n|^sdist = \{.*\}\r?\n", re.MULTILINE)


def read(source: Source, wanted: Wanted, project: str = "") -> Gathered | None:
    """What is installed of a lock file; None when it cannot be read. `project` is the name of the project itself."""
    import tomllib

    try:
        if source.path.endswith("Pipfile.lock"):
            return Gathered(requests=tuple(_pipfile(source, wanted)), files=(source,))
        data = _data(source.text)
        places = _places(source)
        if "packages" in data:
            found = _pylock(data["packages"], places)
        elif source.path.endswith("uv.lock"):
            found = _uv(data, places, wanted, project)
        else:
            found = _flat(data.get("package", ()), places, wanted)
        return Gathered(requests=tuple(found), files=(source,))
    except (tomllib.TOMLDecodeError, SourceError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@lru_cache(maxsize=32)
def _data(text: str) -> dict[str, Any]:
    """The content without the packages' files; several stages and trials read the same lock."""
    import tomllib

    return tomllib.loads(_FILES.sub("", text))


def _places(source: Source) -> dict[tuple[str, str], Span]:
    """Where each package of a lock is named with its version."""
    return {
        (one["name"], one["version"] or ""): Span(source, *one.span("at"))
        for one in _BLOCK.finditer(source.text)
    }


def _request(
    name: str,
    version: str,
    at: Span | None,
    *,
    marker: str = "",
    index: str = "",
    url: str = "",
    editable: bool = False,
) -> Iterator[Request]:
    if at is not None:
        yield Request(
            name=requests.normalised(name),
            at=at,
            specifier=f"=={version}" if version else "",
            marker=marker,
            index="" if index.rstrip("/") == _PYPI else index,
            url=url,
            editable=editable,
            style="locked",
        )


def _pylock(
    packages: Iterable[Mapping[str, Any]], places: Mapping[tuple[str, str], Span]
) -> Iterator[Request]:
    """https://packaging.python.org/en/latest/specifications/pylock-toml/"""
    for one in packages:
        name, version = one["name"], str(one.get("version", ""))
        marker = str(one.get("marker", ""))
        if may_hold(marker):
            direct = one.get("archive") or one.get("vcs") or one.get("directory") or {}
            url = str(direct.get("url") or direct.get("path") or "")
            yield from _request(
                name,
                version,
                places.get((name, version)),
                marker=marker,
                index=str(one.get("index", "")),
                url=url,
            )


def _flat(
    packages: Iterable[Mapping[str, Any]], places: Mapping[tuple[str, str], Span], wanted: Wanted
) -> Iterator[Request]:
    """poetry.lock and pdm.lock: every package says for whom it is there."""
    for one in packages:
        groups = set(one.get("groups", [one.get("category", "main")]))
        chosen = {"main", "default", *wanted.groups} - set(wanted.without)
        if wanted.default_groups and "dev" not in wanted.without:
            chosen |= groups if not wanted.without else groups - set(wanted.without)
        if not groups & chosen or (one.get("optional") and not (wanted.extras or wanted.all_extras)):
            continue
        marker = one.get("markers", one.get("marker", ""))
        marker = marker.get("main", "") if isinstance(marker, dict) else str(marker)
        name, version = one["name"], str(one.get("version", ""))
        if not may_hold(marker, extras=wanted.extras):
            continue
        source = one.get("source", {})
        legacy = source.get("type") == "legacy"
        url = "" if legacy or "type" not in source else str(source.get("url", ""))
        yield from _request(
            name,
            version,
            places.get((name, version)),
            marker=marker,
            index=str(source.get("url", "")) if legacy else "",
            url=f"git+{url}" if source.get("type") == "git" else url,
        )


def _uv(
    data: Mapping[str, Any], places: Mapping[tuple[str, str], Span], wanted: Wanted, project: str
) -> Iterator[Request]:
    """What can be reached from the project; a lock also has the other platforms' and the other extras' versions."""
    packages = data.get("package", [])
    roots = [one for one in packages if set(one.get("source", {})) & {"virtual", "editable", "directory"}]
    chosen = [one for one in roots if requests.normalised(one["name"]) == project] or roots
    reached = _reached(packages, chosen, wanted, project)
    for one in packages:
        key = _key(one)
        if key in reached and one not in chosen:
            source = one.get("source", {})
            direct = ("git", "url", "path", "editable", "directory")
            url = next((str(source[kind]) for kind in direct if kind in source), "")
            yield from _request(
                *key,
                places.get(key),
                marker=_without_conflicts(reached[key]),
                index=str(source.get("registry", "")),
                url=f"git+{url}" if "git" in source else url,
                editable="editable" in source,
            )


def _key(package: Mapping[str, Any]) -> tuple[str, str]:
    return package["name"], str(package.get("version", ""))


def _reached(
    packages: list[dict[str, Any]], roots: list[dict[str, Any]], wanted: Wanted, project: str
) -> dict[tuple[str, str], str]:
    """The packages that are needed, each with the marker under which it was reached first."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in packages:
        by_name.setdefault(one["name"], []).append(one)
    every = {extra for one in roots for extra in one.get("optional-dependencies", {})}
    extras = tuple(sorted(every)) if wanted.all_extras else wanted.extras
    waiting = [edge for one in roots for edge in _edges(one, extras, wanted)]
    reached: dict[tuple[str, str], str] = {}
    seen: set[tuple[str, ...]] = set()
    while waiting:
        edge = waiting.pop()
        marker = edge.get("marker", "")
        if not may_hold(marker, extras=extras, project=project, groups=wanted.groups):
            continue
        for one in _targets(edge, by_name):
            wants = tuple(edge.get("extra", ()))
            if (*_key(one), *wants) not in seen:
                seen.add((*_key(one), *wants))
                reached.setdefault(_key(one), marker)
                waiting += one.get("dependencies", ())
                optional = one.get("optional-dependencies", {})
                waiting += [more for extra in wants for more in optional.get(extra, ())]
    return reached


def _edges(root: Mapping[str, Any], extras: Iterable[str], wanted: Wanted) -> Iterator[dict[str, Any]]:
    if wanted.project:
        yield from root.get("dependencies", ())
        for extra in extras:
            yield from root.get("optional-dependencies", {}).get(extra, ())
    groups = root.get("dev-dependencies", {})
    defaults = {"dev"} if wanted.default_groups else set()
    for group in (defaults | set(wanted.groups)) - set(wanted.without):
        yield from groups.get(group, ())


def _targets(edge: Mapping[str, Any], by_name: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The packages that an edge leads to: with several versions in the lock, the edge says which."""
    found = by_name.get(edge["name"], [])
    if "version" in edge:
        found = [one for one in found if one.get("version") == edge["version"]]
    if "source" in edge:
        found = [one for one in found if one.get("source") == edge["source"]]
    return found


def _without_conflicts(marker: str) -> str:
    """Uv writes conflicting extras as markers that nobody else can evaluate."""
    return "" if "extra ==" in marker or "extra !=" in marker else marker


def _pipfile(source: Source, wanted: Wanted) -> Iterator[Request]:
    from seatrial.sources import json

    document = json.read(source)
    urls = {one.get("name"): one.get("url") for one in document.value.get("_meta", {}).get("sources", ())}
    sections = ["default"] + (["develop"] if "dev" in wanted.groups else [])
    for section in sections:
        for name, value in document.value.get(section, {}).items():
            place = document.node((section, name))
            git = str(value.get("git", ""))
            yield from _request(
                name,
                str(value.get("version", "")).removeprefix("=="),
                Span(source, place.start, place.end),
                marker=str(value.get("markers", "")),
                index=str(urls.get(value.get("index"), "") or ""),
                url=f"git+{git}" if git else str(value.get("file") or value.get("path") or ""),
                editable=bool(value.get("editable")),
            )
