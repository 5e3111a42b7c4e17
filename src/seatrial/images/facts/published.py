"""What package indexes say about the releases of the tracked packages: derived tables, one per package."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.facts import load
from seatrial.images.facts.versions import fits, key, parsed, specifiers

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet


class Release(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One release, as its files and its metadata describe it.

    `linux` and `arm` are the Python tags that have a Linux wheel for x86-64 and aarch64: `cp311`, `cp313t` (free
    threaded), `cp38+` (stable ABI: that one and later), `py3` (any). `glibc` is the lowest version with which one
    of the x86-64 wheels installs. `requires` are PEP 508 lines for tracked packages only, with the part of the
    marker that Linux on x86-64 leaves open; None where there was no metadata to read (an sdist alone).
    `yanked` is the reason, possibly empty, or None when it is not yanked. `uploaded` is the day of the first file.
    """

    version: str
    uploaded: str = ""
    python: str = ""
    linux: tuple[str, ...] = ()
    arm: tuple[str, ...] = ()
    glibc: str = ""
    sdist: bool = False
    yanked: str | None = None
    requires: tuple[str, ...] | None = None

    @property
    def only_sdist(self) -> bool:
        """Whether it has to be built on Linux x86-64."""
        return self.sdist and not self.linux


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`derived/PACKAGE.json`, newest release first. `source` is the project's page, not the index that was asked."""

    package: str
    derived: str
    source: str
    releases: tuple[Release, ...]


@cache
def table(name: str) -> Table | None:
    """The derived table of a tracked package; None for others. `name` is normalised (`flash-attn`)."""
    content = load.derived(name)
    return None if content is None else msgspec.json.decode(content, type=Table)


@cache
def tracked() -> frozenset[str]:
    """The names of the packages that have a table."""
    from importlib import resources

    ours = resources.files(load.PACKAGE).joinpath("derived")
    own = load.refreshed_folder()
    names = {one.name for one in ours.iterdir()} if ours.is_dir() else set()
    names |= {one.name for one in own.iterdir()} if own.is_dir() else set()
    return frozenset(name.removesuffix(".json") for name in names if name.endswith(".json"))


def releases(name: str) -> tuple[Release, ...]:
    """Every known release, newest first; empty for a package that is not tracked."""
    known = table(name)
    return () if known is None else known.releases


@cache
def by_key(name: str) -> dict[str, Release]:
    """The releases of a package by `versions.key`."""
    return {key(one.version): one for one in releases(name)}


def release(name: str, version: str) -> Release | None:
    """One release; `2.7` finds 2.7.0, and a local label (`+cu118`) does not count. None when it is not in the table."""
    return by_key(name).get(key(version))


def pythons(name: str, version: str, *, arm: bool = False) -> tuple[str, ...] | None:
    """The Python versions (`3.9`, lowest first) that a release has a Linux wheel for; None when that is not known.

    A wheel for any Python or for the stable ABI counts for the versions that Requires-Python allows, as far as there are any.
    """
    one = release(name, version)
    if one is None:
        return None
    tags = one.arm if arm else one.linux
    found = [python for python in PYTHONS if runs(tags, python) and _allowed(one, python)]
    return tuple(found)


PYTHONS = tuple(f"3.{number}" for number in range(5, 16))
"""The versions of Python that wheels of the tracked packages exist for."""


def runs(tags: tuple[str, ...], python: str) -> bool:
    """Whether one of a release's tags installs on CPython `python` (`3.11`)."""
    number = int(python.split(".")[1])
    for tag in tags:
        # `py39` and the stable ABI of 3.8 (`cp38+`) are for that version and later ones: packaging.tags.compatible_tags.
        since = tag.startswith("py3") or tag.endswith("+")
        first = tag[3:].rstrip("+")
        if tag[2:3] == "3" and (not first or first.isdecimal()):
            least = int(first or 0)
            if least == number or (since and least <= number):
                return True
    return False


def _allowed(one: Release, python: str) -> bool:
    from packaging.specifiers import InvalidSpecifier

    try:
        # A `>=3.8.1` leaves out some 3.8, not 3.8: the newest patch release speaks for all.
        return not one.python or specifiers(one.python).contains(f"{python}.99") or fits(python, one.python)
    except InvalidSpecifier:
        return True


def installs(one: Release, python: str = "", *, arm: bool = False) -> bool:
    """Whether a release can be installed on Linux with that Python, from a wheel or an sdist."""
    tags = one.arm if arm else one.linux
    if not python:
        return bool(tags) or one.sdist
    python = ".".join(python.split(".")[:2])
    return (one.sdist or runs(tags, python)) and _allowed(one, python)


def newest(name: str, specifier: str = "", python: str = "", *, arm: bool = False) -> Release | None:
    """The newest release that fits a PEP 440 specifier and installs on Linux with that Python.

    Yanked releases and pre-releases are left out, as installers do. None when there is none, or nothing is known.
    """
    for one in releases(name):
        if one.yanked is not None or parsed(one.version).is_prerelease:
            continue
        if installs(one, python, arm=arm) and (not specifier or fits(one.version, specifier)):
            return one
    return None


_LINE = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(?:;\s*(.*))?")


def needs(one: Release, name: str, *, python: str = "", extra: str = "") -> SpecifierSet | None:
    """What a release requires of another tracked package, on Linux x86-64; None when it names no such requirement.

    A requirement that depends on the Python version counts when `python` is given and fits; one of an extra only
    when that `extra` is given. Several lines are joined.
    """
    found: list[str] = []
    for line in one.requires or ():
        match = _LINE.fullmatch(line)
        if match is None or match[1] != name:
            continue
        if match[3] and not _holds(match[3], python, extra):
            continue
        found.append(match[2].strip())
    return specifiers(",".join(filter(None, found))) if found else None


def _holds(marker: str, python: str, extra: str) -> bool:
    if "extra" in marker and not extra:
        return False
    if "python" in marker and not python:
        return False
    return _evaluate(marker, ".".join(python.split(".")[:2]), extra)


@cache
def _evaluate(marker: str, python: str, extra: str) -> bool:
    from packaging.markers import Marker

    return Marker(marker).evaluate(linux(python, extra))


def linux(python: str = "3.11", extra: str = "") -> dict[str, str]:
    """The environment of PEP 508 markers on Linux x86-64."""
    python = python or "3.11"
    return {
        "implementation_name": "cpython", "implementation_version": f"{python}.9", "os_name": "posix",
        "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_release": "",
        "platform_system": "Linux", "platform_version": "", "python_full_version": f"{python}.9",
        "python_version": python, "sys_platform": "linux", "extra": extra,
    }  # fmt: skip
