"""Of the files that a lock or an index lists of a package, the one that the image gets (PEP 751 tables)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs import direct
from seatrial.images.inputs.locations import ARCHIVES
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.lock import LockedWheel, check
from seatrial.images.target import ranks
from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.inputs.making import Means
    from seatrial.images.target import Target


class Picked(msgspec.Struct, frozen=True):
    """A wheel and its address (without credentials) or absolute path."""

    wheel: LockedWheel
    address: str


class ToBuild(msgspec.Struct, frozen=True):
    """What has no wheel for the target. `filename` is that of an archive, `allowed` the sha256 it may have."""

    source: Unbuilt
    filename: str = ""
    allowed: frozenset[str] = frozenset()
    indexed: bool = False


class Unplaced(msgspec.Struct, frozen=True):
    """A pinned package of which nobody says where its files are: an index is asked."""

    name: str
    version: str
    hashes: frozenset[str]
    index: str = ""
    where: str = ""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How files are chosen: relative paths are below `folder`; `hashes` bind when `hashed`."""

    folder: Path
    hashed: bool = False
    hashes: dict[str, frozenset[str]] = {}
    where: str = ""


Choice = Picked | ToBuild | Unplaced


def choose(package: dict[str, Any], means: Means, rules: Rules) -> Choice:
    """What is installed of a package of a `pylock.toml`; its marker is known to hold.

    Raises:
        SeatrialError: it has no file for the target, or none with a hash that is allowed.
    """
    name, version = str(package["name"]), str(package.get("version", ""))
    source = _source_tree(package, name, rules)
    if source is not None:
        return source
    if "archive" in package:
        return _archive(package["archive"], name, version, means, rules)
    fitting = best(package.get("wheels", []), means.target)
    allowed = rules.hashes.get(name, frozenset())
    for filename, entry in fitting:
        sha256 = _sha256(entry, rules, means)
        if not rules.hashed or sha256 in allowed:
            return _picked(name, version, filename, entry, means, rules)
    if "sdist" in package and not (fitting and rules.hashed and not allowed):
        return _from_source(package["sdist"], name, version, means, rules)
    if fitting:
        raise _hash_refused(name, means.target, known=bool(allowed))
    raise no_wheel(name, version, means.target, rules.where)


def best(entries: Iterable[dict[str, Any]], target: Target) -> list[tuple[str, dict[str, Any]]]:
    """The wheels that the target can use with their file names, best first."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    rank = ranks(target)
    found = []
    for entry in entries:
        filename = filename_of(entry)
        try:
            _, _, build, named = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        accepted = [rank[tag] for tag in named if tag in rank]
        if accepted:
            newest = tuple(-part if isinstance(part, int) else 0 for part in build[:1])
            found.append((min(accepted), newest, filename, entry))
    return [(filename, entry) for _, _, filename, entry in sorted(found, key=lambda one: one[:3])]


def filename_of(entry: dict[str, Any]) -> str:
    """The name of a file, which is stated or the end of its address."""
    text = (
        entry.get("name") or unquote(urlsplit(str(entry.get("url", ""))).path) or str(entry.get("path", ""))
    )
    return str(text).rsplit("/", 1)[-1]


def address_of(entry: dict[str, Any], means: Means, rules: Rules) -> str:
    """Where a file is: an absolute path if it is on this machine, else its address without credentials, else nothing."""
    filename, url = filename_of(entry), str(entry.get("url", ""))
    stated = (entry.get("hashes") or {}).get("sha256", "")
    if "path" in entry:
        path = Path(os.path.normpath(rules.folder / str(entry["path"])))
        if path.is_file():
            return str(path)
    if url.startswith("file:"):
        return unquote(urlsplit(url).path)
    for folder in means.wheels:
        place = folder / filename
        if place.is_file() and stated in ("", _hash_of(str(place))):
            return str(place)
    return without_credentials(url) if url else ""


def no_wheel(name: str, version: str, target: Target, where: str = "") -> SeatrialError:
    """What is said of a package that has neither a wheel for the target nor a source archive."""
    return SeatrialError(
        f"{name} {version} has no wheel for {target}".replace("  ", " "),
        where=where or None,
        why="and no source archive that one could be built from",
        fix=f"choose a version of {name} that has wheels for this target, or a base with another Python",
    )


def _source_tree(package: dict[str, Any], name: str, rules: Rules) -> ToBuild | None:
    if "vcs" in package:
        vcs = package["vcs"]
        if vcs.get("type") != "git":
            raise SeatrialError(
                f"{name} is in a {vcs.get('type')} repository", where=rules.where, fix="use git"
            )
        url = str(vcs.get("url") or _absolute(vcs["path"], rules).as_uri())
        revision = str(vcs.get("commit-id") or vcs.get("requested-revision") or "")
        common = {"revision": revision, "subfolder": str(vcs.get("subdirectory", ""))}
        return ToBuild(Unbuilt(kind="git", url=url, name=name, where=rules.where, **common))  # type: ignore[arg-type]
    if "directory" in package:
        entry = package["directory"]
        return ToBuild(
            Unbuilt(
                kind="folder", url=str(_absolute(entry["path"], rules)), name=name, where=rules.where,
                subfolder=str(entry.get("subdirectory", "")), editable=bool(entry.get("editable")),
            )
        )  # fmt: skip
    return None


def _absolute(path: str, rules: Rules) -> Path:
    return Path(os.path.normpath(rules.folder / path))


def _archive(entry: dict[str, Any], name: str, version: str, means: Means, rules: Rules) -> Choice:
    filename = filename_of(entry)
    if not filename.endswith(".whl"):
        found = _from_source(entry, name, version, means, rules)
        return msgspec.structs.replace(found, indexed=False) if isinstance(found, ToBuild) else found
    if not best([entry], means.target):
        raise SeatrialError(
            f"{filename} is no wheel for {means.target}", where=rules.where or None, fix="name one that is"
        )
    picked = _picked(name, version, filename, entry, means, rules)
    if isinstance(picked, Unplaced):
        return picked
    if rules.hashed and rules.hashes.get(name) and picked.wheel.sha256 not in rules.hashes[name]:
        raise _hash_refused(name, means.target, known=True)
    url = str(entry.get("url", ""))
    wheel = msgspec.structs.replace(picked.wheel, direct_url=direct.of_archive(url, picked.wheel.sha256))
    return msgspec.structs.replace(picked, wheel=wheel)


def _from_source(
    entry: dict[str, Any], name: str, version: str, means: Means, rules: Rules
) -> ToBuild | Unplaced:
    filename, address = filename_of(entry), address_of(entry, means, rules)
    sha256 = (entry.get("hashes") or {}).get("sha256", "")
    allowed = rules.hashes.get(name, frozenset()) if rules.hashed else frozenset()
    if rules.hashed and (not allowed or (sha256 and sha256 not in allowed)):
        raise _hash_refused(name, means.target, known=bool(allowed))
    if not address:
        return Unplaced(name, version, frozenset([sha256]) if sha256 else frozenset(), where=rules.where)
    if not filename.endswith(ARCHIVES):
        raise SeatrialError(f"{filename} is neither a wheel nor a source archive", where=rules.where or None)
    source = Unbuilt(
        kind="sdist", url=address, name=name, version=version, sha256=sha256, where=rules.where,
        subfolder=str(entry.get("subdirectory", "")),
    )  # fmt: skip
    return ToBuild(source, filename, allowed, indexed=True)


def _picked(
    name: str, version: str, filename: str, entry: dict[str, Any], means: Means, rules: Rules
) -> Picked | Unplaced:
    from packaging.utils import parse_wheel_filename

    address = address_of(entry, means, rules)
    version = version or str(parse_wheel_filename(filename)[1])
    stated = (entry.get("hashes") or {}).get("sha256", "")
    if not address:
        return Unplaced(name, version, frozenset([stated]) if stated else frozenset(), where=rules.where)
    local = address.startswith("/")
    sha256 = stated or (_hash_of(address) if local else _counted(address, filename, means))
    size = Path(address).stat().st_size if local and Path(address).exists() else int(entry.get("size") or 0)
    wheel = LockedWheel(name=name, version=version, filename=filename, sha256=sha256, size=size)
    try:
        return Picked(check(wheel), address)
    except ValueError as error:
        raise SeatrialError(
            f"{name}: {error}", where=rules.where or None, fix="use an index that says sha256 hashes"
        ) from error


def _sha256(entry: dict[str, Any], rules: Rules, means: Means) -> str:
    stated = str((entry.get("hashes") or {}).get("sha256", ""))
    if stated or not rules.hashed:
        return stated
    address = address_of(entry, means, rules)
    return _hash_of(address) if address.startswith("/") else ""


def _hash_of(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _counted(address: str, filename: str, means: Means) -> str:
    """The hash of a file that nobody states the hash of: it is brought now."""
    from seatrial.images.assemble.fetch import fetch_archive

    if means.offline:
        raise SeatrialError(
            f"{filename} is not on this machine", why="`--offline` asks no server",
            fix="put it into a folder that `--find-links` names, or run once without `--offline`",
        )  # fmt: skip
    return fetch_archive(address, "", means.logins, what=filename)[0]


def _hash_refused(name: str, target: Target, *, known: bool) -> SeatrialError:
    return SeatrialError(
        f"no file of {name} for {target} has a hash that the requirements allow",
        why=None if known else "one requirement has `--hash`, so every package needs a matching one",
        fix="write the hashes again (`uv pip compile --generate-hashes`)",
    )
