"""Pipenv's Pipfile. Source: https://pipenv.pypa.io/en/latest/pipfile.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.images.story import requests, toml_places
from seatrial.images.story.model import Request, Span
from seatrial.images.story.requirement_files import Gathered
from seatrial.sources import toml
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from seatrial.images.story.toml_places import Places
    from seatrial.sources.text import Source


def read(source: Source, *, dev: bool) -> Gathered | None:
    """What a Pipfile asks for; None when it is not TOML."""
    try:
        data, places = toml.read(source), toml_places.read(source)
    except (SourceError, RecursionError):
        return None
    sources = [one for one in data.get("source", ()) if isinstance(one, dict)]
    urls = {str(one.get("name")): str(one.get("url", "")) for one in sources}
    found: list[Request] = []
    for section in ("packages", "dev-packages") if dev else ("packages",):
        for name, value in data.get(section, {}).items():
            request = _request(places, section, name, value, urls)
            found += [request] if request else []
    first, *more = [str(one.get("url", "")) for one in sources] or [""]
    index = "" if "pypi.org" in first else first
    return Gathered(requests=tuple(found), files=(source,), index=index, extra_indexes=tuple(more))


def python(source: Source) -> str:
    """The Python version that a Pipfile asks for; empty where it does not."""
    try:
        asked = toml.read(source).get("requires", {})
    except SourceError:
        return ""
    return str(asked.get("python_version", "") or asked.get("python_full_version", ""))


def _request(places: Places, section: str, name: str, value: Any, urls: dict[str, str]) -> Request | None:
    table = value if isinstance(value, dict) else {"version": value}
    text = str(table.get("version", "*"))
    specifier = "" if text == "*" else text
    if requests.parsed(f"{requests.normalised(name)}{specifier}") is None:
        specifier = ""
    at = places.entry((section, name))
    if at is None:
        return None
    path = (section, name, "version") if isinstance(value, dict) else (section, name)
    versions = places.inside(path)
    number = None
    if versions is not None and specifier.startswith("==") and "," not in specifier and "*" not in specifier:
        lead = len(specifier) - len(specifier.lstrip("= "))
        number = Span(versions.source, versions.start + lead, versions.end)
    git = str(table.get("git", ""))
    return Request(
        name=requests.normalised(name),
        at=at,
        specifier=specifier,
        extras=tuple(sorted(map(str, table.get("extras", ())))),
        marker=str(table.get("markers", "")),
        url=f"git+{git}" if git else str(table.get("file") or table.get("path") or ""),
        editable=bool(table.get("editable")),
        index=urls.get(str(table.get("index", "")), ""),
        style="poetry",
        versions=versions,
        version=number,
    )
