"""Requirements that name a place instead of a version: a wheel, an archive, a folder, a repository."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.sources.requirements import Line

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OPTIONS = re.compile(r"\s--?[A-Za-z].*$", re.DOTALL)
_NAMED = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*@\s*(?P<url>.+)$", re.DOTALL
)
_EXTRAS = re.compile(r"^(?P<path>.*?)\[(?P<extras>[^\[\]]*)\]$")
ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar", ".tbz", ".txz")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where a requirement is. `unbuilt` is None for a wheel, whose address is `url`; `name` is normalised or empty."""

    url: str
    name: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    unbuilt: Unbuilt | None = None


def located(line: Line, folder: Path, root: Path, variables: Mapping[str, str], where: str) -> Location:
    """The place that a line of a requirement file names; relative ones are beside the file or in the project.

    Raises:
        SeatrialError: there is nothing, or nothing that can be installed.
    """
    editable = line.text.startswith("-")
    text = line.target if editable else (line.requirement and str(line.text)) or line.target or line.text
    text = _OPTIONS.sub("", text) if not editable else text
    text = _VARIABLE.sub(lambda one: variables.get(one[1], one[0]), text.strip())
    return read_location(text, folder, root, where, editable=editable)


def read_location(text: str, folder: Path, root: Path, where: str, *, editable: bool = False) -> Location:
    """`[name[extras] @] ADDRESS-OR-PATH[extras][#fragment] [; marker]`.

    Raises:
        SeatrialError: there is nothing, or nothing that can be installed.
    """
    from packaging.utils import canonicalize_name

    asked, _, marker = (part.strip() for part in _split_marker(text))
    named = _NAMED.match(asked)
    name, extras = (canonicalize_name(named["name"]), _names(named["extras"])) if named else ("", ())
    address = named["url"].strip() if named else asked
    if not named and "://" not in address and (bracket := _EXTRAS.match(address)):
        address, extras = bracket["path"].strip(), _names(bracket["extras"])
    fragment = parse_qs(urlsplit(address).fragment) if "#" in address else {}
    if egg := re.match(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?", fragment.get("egg", [""])[0]):
        name, extras = name or canonicalize_name(egg[1]), extras or _names(egg[2])
    place = unbuilt_of(address, folder, root, where, name=name, editable=editable)
    known = name or (wheel_name(place) if isinstance(place, str) else place.name)
    return Location(
        url=place if isinstance(place, str) else place.url,
        name=known,
        extras=extras,
        marker=marker,
        unbuilt=None if isinstance(place, str) else place,
    )


def unbuilt_of(
    address: str, folder: Path, root: Path, where: str, *, name: str = "", editable: bool = False
) -> Unbuilt | str:
    """What lies at an address or path: something to be built, or the address of a wheel.

    Raises:
        SeatrialError: there is nothing, or nothing that can be installed.
    """
    fragment = parse_qs(address.partition("#")[2])
    bare = address.partition("#")[0]
    common = {
        "name": name,
        "subfolder": fragment.get("subdirectory", [""])[0],
        "editable": editable,
        "where": where,
    }
    if kind := re.match(r"(git|hg|svn|bzr)\+", bare):
        if kind[1] != "git":
            raise SeatrialError(
                f"{kind[1]} repositories cannot be installed",
                where=where,
                fix="use git, or an archive of the source",
            )
        return _git(bare[4:], common)
    if re.match(r"https?://", bare):
        sha256 = fragment.get("sha256", [""])[0]
        if urlsplit(bare).path.endswith(".whl"):
            return address
        return Unbuilt(kind="sdist", url=without_credentials(bare), sha256=sha256, **common)  # type: ignore[arg-type]
    return _local(bare, folder, root, where, fragment, common)


def _git(address: str, common: Mapping[str, object]) -> Unbuilt:
    """`https://host/repository.git@revision`; an `@` before the path belongs to the user's name."""
    head, slash, tail = address.rpartition("/")
    path, _, revision = tail.partition("@")
    if not revision and "@" in head.partition("://")[2].partition("/")[2]:
        # A branch with slashes in its name.
        start, _, rest = head.rpartition("@")
        return Unbuilt(kind="git", url=start, revision=f"{rest}{slash}{tail}", **common)  # type: ignore[arg-type]
    return Unbuilt(kind="git", url=f"{head}{slash}{path}", revision=revision, **common)  # type: ignore[arg-type]


def _local(
    text: str,
    folder: Path,
    root: Path,
    where: str,
    fragment: Mapping[str, list[str]],
    common: Mapping[str, object],
) -> Unbuilt | str:
    written = unquote(urlsplit(text).path) if text.startswith("file:") else os.path.expanduser(text)  # noqa: PTH111 - text
    places = [Path(os.path.normpath((base / written).absolute())) for base in (folder, root)]
    path = next((one for one in places if one.exists()), None)
    if path is None:
        raise SeatrialError(
            f"{text} is not there", where=where, why=f"{places[0]} does not exist", fix="correct the path"
        )
    if path.is_dir():
        if not any(
            (path / str(common["subfolder"]) / one).is_file()
            for one in ("pyproject.toml", "setup.py", "setup.cfg")
        ):
            raise SeatrialError(
                f"{text} is no Python project", where=where, why="it has neither pyproject.toml nor setup.py",
                fix="name the folder of a project",
            )  # fmt: skip
        return Unbuilt(kind="folder", url=str(path), **common)  # type: ignore[arg-type]
    if path.name.endswith(".whl"):
        return path.as_uri()
    if not path.name.endswith(ARCHIVES):
        raise SeatrialError(
            f"{text} is neither a wheel nor a source archive", where=where, fix="correct the path"
        )
    return Unbuilt(kind="sdist", url=str(path), sha256=fragment.get("sha256", [""])[0], **common)  # type: ignore[arg-type]


def wheel_name(url: str) -> str:
    """The normalised name in the file name of a wheel; empty where it has none."""
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

    try:
        return parse_wheel_filename(unquote(urlsplit(url).path).rsplit("/", 1)[-1])[0]
    except InvalidWheelFilename:
        head = unquote(urlsplit(url).path).rsplit("/", 1)[-1].partition("-")[0]
        return canonicalize_name(head) if head else ""


def _split_marker(text: str) -> tuple[str, str, str]:
    """At ` ;`, or at `; ` where no address can go on."""
    return text.partition(" ;") if " ;" in text else text.partition("; ")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(sorted(part.strip() for part in (text or "").split(",") if part.strip()))
