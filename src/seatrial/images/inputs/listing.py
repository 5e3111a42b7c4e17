"""Source archives that indexes and folders list of a package of which the target has no wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.environment import full_version
from seatrial.images.inputs.logins import with_login
from seatrial.images.solving.model import Setting
from seatrial.images.solving.places import find_places
from seatrial.images.solving.releases import listed, page, releases

if TYPE_CHECKING:
    from seatrial.images.inputs.asked import Asked
    from seatrial.images.inputs.making import Means
    from seatrial.images.solving.releases import File, Release


class Listing(msgspec.Struct, frozen=True):
    """A source archive: address or absolute path, its sha256 or nothing, and its name."""

    address: str
    sha256: str
    filename: str


def sources_of(name: str, asked: Asked, means: Means) -> dict[str, Listing]:
    """Version → source archive, for the versions without a wheel for the target.

    What was withdrawn is left out unless it is pinned. An index that cannot be asked lists nothing: uv has said so.
    """
    found: dict[str, Listing] = {}
    for version, release in releases(_files(name, asked, means), name, _setting(asked, means)).items():
        usable = release.yanked is None or f"{name}=={version}" in asked.pins
        only_source = name in asked.no_binary or ":all:" in asked.no_binary or not release.wheels
        if release.sources and only_source and usable:
            found[version] = _listing(release)
    return found


def _listing(release: Release) -> Listing:
    one = min(release.sources, key=lambda file: (not file.name.endswith(".tar.gz"), file.name))
    parts = urlsplit(one.url)
    return Listing(unquote(parts.path) if parts.scheme == "file" else one.url, one.sha256, one.name)


def _setting(asked: Asked, means: Means) -> Setting:
    config = _project_configuration(means.root)
    default = next((one["url"] for one in config if one.get("default")), "")
    return Setting(
        python=full_version(means.target, means.python),
        platform=means.target.platform,
        glibc=means.target.glibc,
        index=asked.index or default,
        extra_indexes=(*asked.extra_indexes, *(one["url"] for one in config if not one.get("default"))),
        find_links=asked.find_links,
        no_index=asked.no_index,
    )


def _files(name: str, asked: Asked, means: Means) -> list[File]:
    own = [index for line, index in asked.placed if _starts_with(line, name)]
    places = find_places(_setting(asked, means), (), means.env)
    found: list[File] = []
    for index in own or places.indexes:
        address = with_login(index, means.logins, means.env)
        try:
            found += page(address, name, refresh=means.refresh, offline=means.offline) or ()
        except SeatrialError:
            continue
    for link in (*places.find_links, *map(str, means.wheels)):
        parts = urlsplit(link)
        if parts.scheme in ("", "file"):
            found += listed(Path(unquote(parts.path) if parts.scheme else link))
    return found


def _starts_with(line: str, name: str) -> bool:
    import re

    return re.split(r"[^A-Za-z0-9._-]", line)[0] == name


def _project_configuration(root: Path) -> list[dict[str, Any]]:
    """The indexes that the project's own uv.toml or pyproject.toml names; those for some packages alone are left out."""
    for file, keys in (("uv.toml", ()), ("pyproject.toml", ("tool", "uv"))):
        try:
            data: Any = tomllib.loads((root / file).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        for key in keys:
            data = data.get(key, {}) if isinstance(data, dict) else {}
        listed_there = data.get("index") if isinstance(data, dict) else None
        if isinstance(listed_there, list):
            return [
                one for one in listed_there
                if isinstance(one, dict) and isinstance(one.get("url"), str) and not one.get("explicit")
            ]  # fmt: skip
    return []
