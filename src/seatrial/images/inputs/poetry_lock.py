"""poetry.lock: which of its packages the project needs on the target. It names files and hashes, and no addresses.

Source: https://github.com/python-poetry/poetry/blob/main/src/poetry/packages/locker.py (formats 1.0 to 2.1)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.choosing import Unplaced
from seatrial.images.inputs.environment import allows, holds
from seatrial.images.inputs.locations import read_location
from seatrial.images.inputs.making import Means, make
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.inputs.pinned import asked_of_pins
from seatrial.images.inputs.project import check_python, read_project
from seatrial.images.inputs.solving import Settled, settle
from seatrial.images.inputs.stale import check_lock
from seatrial.images.story.poetry_versions import to_pep440
from seatrial.images.story.requests import normalised
from seatrial.sources import text, toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from seatrial.images.inputs.asked import Asked
    from seatrial.images.inputs.making import Made
    from seatrial.images.inputs.model import Wanted
    from seatrial.images.inputs.requirement_files import Place

_PUBLIC = re.compile(r"https://pypi\.org/simple/?$")
Package = dict[str, Any]


def settle_poetry_lock(lock: Path, project: Path, wanted: Wanted, means: Means, place: Place) -> Settled:
    """What the lock installs for its project.

    Raises:
        SourceError: a file is not TOML.
        UsageError: the project has no such extra or group.
        SeatrialError: the lock contradicts the project file, or a package cannot be had.
    """
    data = toml.read(text.read(lock, str(lock)))
    if not project.is_file():
        raise SeatrialError(
            "the project of this lock is not there", where=str(lock), why=f"{project} does not exist",
            fix="put pyproject.toml beside its lock: only it says which of the packages are wanted",
        )  # fmt: skip
    reading = read_project(project, place, extras=wanted.extras, groups=wanted.groups, install=wanted.project)
    check_python(reading, means.target, means.python)
    reach = _Reach(data, lock, means, place)
    check_lock(reading.needs, reach.versions(), lock, "poetry lock")
    for need in reading.needs:
        reach.follow(need.name, need.specifier, need.extras)
    pins, located = reach.found()
    asked = asked_of_pins(
        pins, files=(lock, project), index=reading.index, extra_indexes=reading.extra_indexes
    )
    for line in located:
        asked += line
    made: tuple[Made, ...] = ()
    if reading.installed:
        own = Unbuilt(kind="folder", url=str(project.parent), name=reading.name, where=str(project))
        made = (make(own, means),)
    done = settle(asked, means) if pins or located else Settled()
    return msgspec.structs.replace(done, made=done.made + made)


class _Reach:
    """The packages that can be reached from the project, each in the version that the target gets."""

    def __init__(self, data: dict[str, Any], lock: Path, means: Means, place: Place) -> None:
        self._packages: dict[str, list[Package]] = {}
        for one in data.get("package", ()):
            self._packages.setdefault(normalised(str(one["name"])), []).append(one)
        self._lock, self._means, self._place = lock, means, place
        # Until format 2.0 the files of all packages were in one table.
        self._files = {normalised(k): v for k, v in data.get("metadata", {}).get("files", {}).items()}
        self._seen: set[tuple[str, str]] = set()
        self._chosen: dict[str, Package] = {}

    def versions(self) -> dict[str, list[str]]:
        """Name → versions in the lock, empty for what lies at a place of its own."""
        return {
            name: ["" if _direct(one) else str(one.get("version", "")) for one in some]
            for name, some in self._packages.items()
        }

    def follow(self, name: str, specifier: str, extras: Iterable[str]) -> None:
        """Choose a package and what it needs, with these extras of it."""
        waiting: list[tuple[str, str, tuple[str, ...]]] = [(normalised(name), specifier, tuple(extras))]
        while waiting:
            name, specifier, wanted = waiting.pop()
            package = self._choose(name, specifier)
            for extra in ("", *wanted):
                if (name, extra) not in self._seen:
                    self._seen.add((name, extra))
                    waiting += self._needs(package, normalised(extra))

    def found(self) -> tuple[list[Unplaced], list[Asked]]:
        """Pins that an index has the files of, and what lies at a place of its own."""
        pins, located = [], []
        for name, package in sorted(self._chosen.items()):
            if _direct(package):
                located.append(self._located(name, package))
            else:
                source = package.get("source", {})
                url = str(source.get("url", ""))
                pins.append(
                    Unplaced(
                        name=name, version=str(package["version"]), hashes=self._hashes(name, package),
                        index="" if _PUBLIC.match(url) else url, where=str(self._lock),
                    )
                )  # fmt: skip
        return pins, located

    def _choose(self, name: str, specifier: str) -> Package:
        if name in self._chosen:
            return self._chosen[name]
        fitting = [one for one in self._packages.get(name, ()) if self._applies(one)]
        exact = [one for one in fitting if _direct(one) or _allows(specifier, str(one["version"]))]
        if not exact:
            raise SeatrialError(
                f"{name}{specifier} is not in the lock for {self._means.target}", where=str(self._lock),
                why=f"it has {', '.join(str(one['version']) for one in fitting)}" if fitting else None,
                fix="write the lock again: `poetry lock`",
            )  # fmt: skip
        self._chosen[name] = exact[0]
        return exact[0]

    def _applies(self, package: Package) -> bool:
        said = str(package.get("python-versions", "*"))
        pythons = [to_pep440(part) for part in said.split("||")]
        if not any(one is None or allows(one, self._means.target, self._means.python) for one in pythons):
            return False
        markers = package.get("markers", "")
        texts = list(markers.values()) if isinstance(markers, dict) else [markers]
        return any(self._holds(str(one), ("*",)) for one in texts)

    def _holds(self, marker: str, extras: tuple[str, ...]) -> bool:
        """Extras in a package's own markers are the project's, and its request was for the package: they count as wanted."""
        named = tuple(re.findall(r"extra\s*==\s*[\"']([^\"']+)[\"']", marker)) if extras == ("*",) else extras
        return holds(marker, self._place.environment, extras=named, where=str(self._lock))

    def _needs(self, package: Package, extra: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        brought = {
            normalised(re.split(r"[^A-Za-z0-9._-]", str(one))[0])
            for key, some in package.get("extras", {}).items()
            if extra and normalised(key) == extra
            for one in some
        }
        for name, value in package.get("dependencies", {}).items():
            for one in value if isinstance(value, list) else [value]:
                table: Mapping[str, Any] = one if isinstance(one, dict) else {"version": one}
                asked = normalised(name) in brought if extra else not table.get("optional")
                if asked and self._holds(str(table.get("markers", "")), (extra,) if extra else ()):
                    yield (
                        normalised(name),
                        str(table.get("version", "*")),
                        tuple(str(e) for e in table.get("extras", ())),
                    )

    def _hashes(self, name: str, package: Package) -> frozenset[str]:
        files = package.get("files") or self._files.get(name, ())
        found = (str(one.get("hash", "")) for one in files)
        return frozenset(one.removeprefix("sha256:") for one in found if one.startswith("sha256:"))

    def _located(self, name: str, package: Package) -> Asked:
        from seatrial.images.inputs.needs import Need, asked_of

        source = package["source"]
        revision = source.get("resolved_reference") or source.get("reference") or ""
        address = f"git+{source['url']}@{revision}" if source["type"] == "git" else str(source["url"])
        if source.get("subdirectory"):
            address += f"#subdirectory={source['subdirectory']}"
        elif source["type"] == "url" and (hashes := self._hashes(name, package)):
            address += f"#sha256={min(hashes)}"
        editable = bool(package.get("develop"))
        location = read_location(
            f"{name} @ {address}", self._lock.parent, self._place.root, str(self._lock), editable=editable
        )
        return asked_of(f"at-{name}.txt", (Need(name=name, location=location, where=str(self._lock)),))


def _allows(versions: str, version: str) -> bool:
    """Whether versions as Poetry or PEP 440 writes them, with `||` between sets, hold one."""
    from packaging.specifiers import SpecifierSet

    sets = [to_pep440(part) for part in versions.split("||")] if versions else [""]
    return any(one is None or SpecifierSet(one).contains(version, prereleases=True) for one in sets)


def _direct(package: Package) -> bool:
    return str(package.get("source", {}).get("type", "legacy")) != "legacy"
